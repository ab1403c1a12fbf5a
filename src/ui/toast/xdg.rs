//! The screen of a free desktop: its notification service on the session bus.
//!
//! One stream brings answers and signals in the order in which they were sent, and it is open before
//! anything is asked. So a click right behind the answer that names its notice is understood, whoever
//! else is talking. There is a stream from the start, so that the end of the bus is noticed when it comes.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_stream::StreamExt;
use zbus::message::{Builder, Flags, Header, Message, Type};
use zbus::names::MemberName;
use zbus::zvariant::Value;
use zbus::{Connection, MessageStream, connection};

use super::{FAREWELL, Inbox, MOST, OnAction, Setup, Trouble, key};
use crate::ui::icon::Picture;
use crate::ui::menu::Action;
use crate::ui::notices::{Change, Notice};

const SERVICE: &str = "org.freedesktop.Notifications";
const SERVICE_PATH: &str = "/org/freedesktop/Notifications";
const DRIVER: &str = "org.freedesktop.DBus";
const DRIVER_PATH: &str = "/org/freedesktop/DBus";
/// What we want to hear of: clicks, and that the service came or went.
const RULES: [&str; 2] = [
    "type='signal',sender='org.freedesktop.Notifications',interface='org.freedesktop.Notifications'",
    "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.Notifications'",
];

/// The name of the `.desktop` file that the installer puts in place.
const DESKTOP_ENTRY: &str = "modsync";
/// What the click on the notice itself is called on the bus.
const CLICK: &str = "default";
/// The service closed a notice because its time was over. Some keep it in a list, where it can still
/// be clicked.
const EXPIRED: u32 = 1;
/// How long a bus may take to let us in.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the service may take to answer. It may have to be started for that.
const ANSWER: Duration = Duration::from_secs(30);
/// A notice knows what it offered before it was replaced: the user may click what he still sees.
const REMEMBERED: usize = 8;

pub(super) async fn run(setup: &Setup, inbox: &Inbox, on_action: &OnAction) {
    let mut screen = Screen {
        setup,
        inbox,
        on_action,
        trouble: Trouble::default(),
        missed: Vec::new(),
        count: 0,
    };
    let mut first = None;
    loop {
        match connect(setup.bus.as_deref()).await {
            Ok(stream) => {
                let mut bus = Bus::new(Connection::from(&stream));
                let end = screen.serve(&mut bus, stream, first.take()).await;
                let Err(error) = end else { return };
                screen.trouble.say(&error);
                screen.missed.extend(bus.asked.map(|asked| asked.notice));
                // The bus is as good as before: its next service is waited for.
                if error.is::<Silence>() {
                    continue;
                }
            }
            Err(error) => {
                if let Some(notice) = first.take() {
                    screen.trouble.say(&error);
                    screen.miss(notice);
                }
            }
        }
        // A bus is looked for when there is something to show on it.
        while first.is_none() {
            let Some(change) = inbox.next(true).await else { return };
            screen.missed.retain(|missed| missed.key != key(&change));
            if let Change::Show(notice) = change {
                first = Some(notice);
            }
        }
    }
}

async fn connect(bus: Option<&str>) -> anyhow::Result<MessageStream> {
    let builder = match bus {
        Some(address) => connection::Builder::address(address)?,
        None => connection::Builder::session()?,
    };
    let connection = tokio::time::timeout(PATIENCE, builder.build()).await??;
    let stream = MessageStream::from(&connection);
    for rule in RULES {
        let message = Message::method_call(DRIVER_PATH, "AddMatch")?
            .destination(DRIVER)?
            .interface(DRIVER)?
            .with_flags(Flags::NoReplyExpected)?
            .build(&rule)?;
        connection.send(&message).await?;
    }
    Ok(stream)
}

/// What outlives a bus.
struct Screen<'a> {
    setup: &'a Setup,
    inbox: &'a Inbox,
    on_action: &'a OnAction,
    trouble: Trouble,
    /// Notices that nobody could show and that are still true.
    missed: Vec<Notice>,
    /// Notices so far, so that no two offers have the same name.
    count: u64,
}

/// What is known of one bus.
struct Bus {
    connection: Connection,
    service: Option<Service>,
    asked: Option<Asked>,
    shown: Vec<Shown>,
}

/// Who shows notices, and what it can do.
struct Service {
    /// Of this one alone: its successor gets another, so it never takes our ids for its own.
    name: String,
    actions: bool,
    markup: bool,
}

/// What we wait for: there is never more than one thing.
struct Asked {
    serial: NonZeroU32,
    until: Instant,
    notice: Notice,
    what: What,
}

#[derive(Debug, thiserror::Error)]
#[error("the notification service does not answer")]
struct Silence;

enum What {
    Abilities,
    Show { offers: Vec<(String, Option<Action>)> },
}

struct Shown {
    id: u32,
    key: String,
    /// By the names they have on the bus, the newest first.
    offers: Vec<(String, Option<Action>)>,
    /// How many of them are on the screen. The others were replaced.
    newest: usize,
}

impl Screen<'_> {
    /// Shows notices until there will be no more, or the bus is gone.
    async fn serve(
        &mut self,
        bus: &mut Bus,
        mut stream: MessageStream,
        first: Option<Notice>,
    ) -> anyhow::Result<()> {
        if let Some(first) = first {
            self.again();
            self.show(bus, first).await?;
        }
        loop {
            let until = bus.asked.as_ref().map(|asked| asked.until);
            tokio::select! {
                message = stream.next() => {
                    let Some(Ok(message)) = message else {
                        anyhow::bail!("the session bus is gone, and they wait until it is back");
                    };
                    self.hear(bus, &message).await?;
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    return Err(Silence.into());
                }
                change = self.inbox.next(bus.asked.is_none()) => match change {
                    Some(Change::Show(notice)) => {
                        self.missed.retain(|missed| missed.key != notice.key);
                        self.show(bus, notice).await?;
                    }
                    Some(Change::Close(key)) => {
                        self.missed.retain(|missed| missed.key != key);
                        bus.close(|shown| shown.key == key).await?;
                    }
                    None => break,
                },
            }
        }
        while bus.asked.is_some()
            && let Some(message) = tokio::time::timeout(FAREWELL, stream.next()).await?
        {
            self.hear(bus, &message?).await?;
        }
        bus.close(|_| true).await
    }

    async fn show(&mut self, bus: &mut Bus, notice: Notice) -> anyhow::Result<()> {
        let (message, what) = match &bus.service {
            None => (call(SERVICE, "GetCapabilities")?.build(&())?, What::Abilities),
            Some(service) => {
                self.count += 1;
                let offers = offers(&notice, self.count);
                let former = bus.shown.iter().find(|shown| shown.key == notice.key);
                let former = former.map_or(0, |shown| shown.id);
                let message = notify(&notice, former, service, &offers, self.setup);
                let offers = offers.into_iter().map(|(name, _, action)| (name, action));
                (message?, What::Show { offers: offers.collect() })
            }
        };
        let serial = message.primary_header().serial_num();
        let until = Instant::now() + self.setup.patience.unwrap_or(ANSWER);
        bus.asked = Some(Asked { serial, until, notice, what });
        Ok(bus.connection.send(&message).await?)
    }

    async fn hear(&mut self, bus: &mut Bus, message: &Message) -> anyhow::Result<()> {
        let header = message.header();
        match header.message_type() {
            Type::MethodReturn | Type::Error => self.hear_answer(bus, message, &header).await,
            Type::Signal if is_from(&header, DRIVER) => {
                self.hear_of_service(bus, message);
                Ok(())
            }
            Type::Signal => {
                let service = bus.service.as_ref();
                if service.is_some_and(|service| is_from(&header, &service.name)) {
                    self.hear_of_notice(bus, message, &header).await?;
                }
                Ok(())
            }
            Type::MethodCall => Ok(()),
        }
    }

    async fn hear_answer(
        &mut self,
        bus: &mut Bus,
        message: &Message,
        header: &Header<'_>,
    ) -> anyhow::Result<()> {
        let is_ours = |asked: &mut Asked| header.reply_serial() == Some(asked.serial);
        let Some(Asked { notice, what, .. }) = bus.asked.take_if(is_ours) else {
            return Ok(());
        };
        if header.message_type() == Type::Error {
            self.trouble.say(&zbus::Error::from(message.clone()));
            self.miss(notice);
            return Ok(());
        }
        match what {
            What::Abilities => {
                let abilities: Vec<String> = message.body().deserialize()?;
                let has = |name: &str| abilities.iter().any(|ability| ability == name);
                bus.service = Some(Service {
                    name: header.sender().map(ToString::to_string).unwrap_or_default(),
                    actions: has("actions"),
                    markup: has("body-markup"),
                });
                self.show(bus, notice).await
            }
            What::Show { mut offers } => {
                self.trouble.is_over();
                self.again();
                let newest = offers.len();
                let id = message.body().deserialize()?;
                let is_former = |shown: &mut Shown| shown.id == id || shown.key == notice.key;
                let former = bus.shown.extract_if(.., is_former).filter(|shown| shown.id == id);
                offers.extend(former.flat_map(|shown| shown.offers));
                offers.truncate(REMEMBERED);
                bus.shown.push(Shown { id, key: notice.key, offers, newest });
                if bus.shown.len() > MOST {
                    bus.shown.remove(0);
                }
                Ok(())
            }
        }
    }

    /// The service came, went or was replaced: another knows nothing of what the former has shown.
    fn hear_of_service(&mut self, bus: &mut Bus, message: &Message) {
        let body = message.body();
        let Ok((SERVICE, former, new)) = body.deserialize::<(&str, &str, &str)>() else { return };
        bus.service = None;
        bus.shown.clear();
        if !former.is_empty() {
            self.missed.extend(bus.asked.take().map(|asked| asked.notice));
        }
        if !new.is_empty() {
            self.again();
        }
    }

    async fn hear_of_notice(
        &self,
        bus: &mut Bus,
        message: &Message,
        header: &Header<'_>,
    ) -> anyhow::Result<()> {
        let body = message.body();
        match header.member().map(MemberName::as_str) {
            Some("ActionInvoked") => {
                let Ok((id, name)) = body.deserialize() else { return Ok(()) };
                self.clicked(bus, id, name).await
            }
            Some("NotificationClosed") => {
                let Ok((id, reason)) = body.deserialize::<(u32, u32)>() else { return Ok(()) };
                bus.shown.retain(|shown| shown.id != id || reason == EXPIRED);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn clicked(&self, bus: &mut Bus, id: u32, name: &str) -> anyhow::Result<()> {
        let Some(shown) = bus.shown.iter().find(|shown| shown.id == id) else { return Ok(()) };
        let mut offers = shown.offers.iter().enumerate();
        let Some((n, (_, action))) = offers.find(|(_, offer)| offer.0 == name) else {
            return Ok(());
        };
        if let Some(action) = action {
            (self.on_action)(action.clone());
        }
        // Not every service takes off by itself what was clicked.
        if n < shown.newest {
            bus.close(|shown| shown.id == id).await?;
        }
        Ok(())
    }

    /// It could not be shown. What stays until it is seen waits for somebody who can.
    fn miss(&mut self, notice: Notice) {
        if notice.stays && self.missed.len() < MOST {
            self.missed.push(notice);
        }
    }

    /// There is somebody who may be able to show what could not be shown.
    fn again(&mut self) {
        for notice in self.missed.drain(..) {
            self.inbox.put_back(notice);
        }
    }
}

impl Bus {
    fn new(connection: Connection) -> Self {
        Self { connection, service: None, asked: None, shown: Vec::new() }
    }

    /// Takes notices off the screen.
    async fn close(&mut self, which: impl Fn(&Shown) -> bool) -> anyhow::Result<()> {
        let Some(service) = &self.service else { return Ok(()) };
        for shown in self.shown.extract_if(.., |shown| which(shown)) {
            let message = call(&service.name, "CloseNotification")?
                .with_flags(Flags::NoReplyExpected)?
                .build(&shown.id)?;
            self.connection.send(&message).await?;
        }
        Ok(())
    }
}

/// The click and the offers: name on the bus, label, action. Names differ from notice to notice, so
/// that a click on what stood there before is not taken for another.
fn offers(notice: &Notice, count: u64) -> Vec<(String, String, Option<Action>)> {
    let same = notice.offers.iter().find(|(_, action)| *action == notice.click);
    let label = same.map_or("Open", |(label, _)| label);
    let click = notice.click.clone().map(|click| (CLICK.to_owned(), label.to_owned(), Some(click)));
    let offers = notice.offers.iter().enumerate();
    let offers =
        offers.map(|(n, (label, action))| (format!("{count}.{n}"), label.clone(), action.clone()));
    click.into_iter().chain(offers).collect()
}

/// No notice is urgent: the user may be in the middle of a game.
fn notify(
    notice: &Notice,
    former: u32,
    service: &Service,
    offers: &[(String, String, Option<Action>)],
    setup: &Setup,
) -> zbus::Result<Message> {
    let icon = setup.icon.as_deref().and_then(|path| path.to_str()).unwrap_or_default();
    let body = if service.markup { escaped(&notice.body) } else { notice.body.clone() };
    let offers = offers.iter().filter(|_| service.actions);
    let offers: Vec<&str> = offers.flat_map(|(name, label, _)| [&**name, &**label]).collect();
    let mut hints = HashMap::from([("desktop-entry", Value::from(DESKTOP_ENTRY))]);
    hints.extend(setup.picture.as_ref().and_then(pixels).map(|pixels| ("image-data", pixels)));
    let timeout = if notice.stays { 0 } else { -1 };
    call(&service.name, "Notify")?.build(&(
        "ModSync",
        former,
        icon,
        &notice.title,
        body,
        offers,
        hints,
        timeout,
    ))
}

/// Width, height, bytes a row, has opacity, bits a sample, samples a pixel, the bytes.
fn pixels(picture: &Picture) -> Option<Value<'_>> {
    let (width, height) = (i32::try_from(picture.width).ok()?, i32::try_from(picture.height).ok()?);
    let row = width.checked_mul(4)?;
    let is_whole = usize::try_from(row.checked_mul(height)?) == Ok(picture.rgba.len());
    is_whole.then(|| Value::from((width, height, row, true, 8, 4, &picture.rgba)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn call<'a>(service: &'a str, method: &'static str) -> zbus::Result<Builder<'a>> {
    Message::method_call(SERVICE_PATH, method)?.destination(service)?.interface(SERVICE)
}

fn is_from(header: &Header<'_>, name: &str) -> bool {
    header.sender().is_some_and(|sender| sender.as_str() == name)
}
