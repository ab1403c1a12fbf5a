//! [`Service`]: shows notices on a session bus as the test tells it to, and says what it was asked.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_stream::StreamExt;
use zbus::message::{Header, Message, Type};
use zbus::zvariant::OwnedValue;
use zbus::{Connection, MessageStream, block_on};

use super::PATIENCE;
use crate::desktop::bus::Bus;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// Closed because its time was over, and by the user.
pub const EXPIRED: u32 = 1;
pub const DISMISSED: u32 = 2;

/// How it behaves.
#[derive(Debug, Clone)]
pub struct Manners {
    pub abilities: &'static [&'static str],
    /// Its signals go to all, not only to the one whose notice it is.
    pub broadcasts: bool,
    /// What it sends right behind its answer, given the notice's id and names of offers.
    pub reflex: fn(u32, &[String]) -> Vec<Signal>,
    /// Answers only when it is told to.
    pub is_slow: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            abilities: &["actions", "body", "body-markup"],
            broadcasts: false,
            reflex: |_, _| Vec::new(),
            is_slow: false,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Signal {
    Clicked(u32, String),
    Closed(u32, u32),
}

/// What it was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Show(Shown),
    Close(u32),
}

/// A notice as it is on the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub id: u32,
    /// The notice in whose place it came; zero is none.
    pub replaces: u32,
    pub icon: String,
    pub title: String,
    pub body: String,
    /// Names and labels by turns.
    pub offers: Vec<String>,
    /// The names of the hints.
    pub hints: Vec<String>,
    pub timeout: i32,
}

impl Shown {
    /// The name of the offer with this label.
    pub fn offer(&self, label: &str) -> String {
        let pair = self.offers.chunks(2).find(|pair| pair[1] == label);
        pair.unwrap_or_else(|| panic!("`{label}` is not offered: {self:?}"))[0].clone()
    }
}

/// It leaves the bus when this is dropped.
#[derive(Debug)]
pub struct Service {
    connection: Connection,
    asked: Receiver<Asked>,
    go_on: Sender<()>,
    /// To whom its signals go, if not to all.
    client: Arc<Mutex<Option<String>>>,
}

impl Service {
    pub fn start(bus: &Bus, manners: Manners) -> Self {
        let (say, asked) = channel();
        let (go_on, may_go_on) = channel();
        let client = Arc::<Mutex<Option<String>>>::default();
        let connection = bus.connect().into_inner();
        let stream = MessageStream::from(&connection);
        let desk = Desk {
            connection: connection.clone(),
            manners,
            count: 0,
            say,
            may_go_on,
            client: Arc::clone(&client),
        };
        thread::spawn(move || block_on(desk.serve(stream)));
        block_on(connection.request_name(NAME)).unwrap();
        Self { connection, asked, go_on, client }
    }

    /// What it is asked next.
    #[track_caller]
    pub fn asked(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("nothing is asked")
    }

    /// The notice that it is asked to show next.
    #[track_caller]
    pub fn shown(&self) -> Shown {
        match self.asked() {
            Asked::Show(shown) => shown,
            Asked::Close(id) => panic!("`{id}` is closed"),
        }
    }

    /// What it was asked and has not been looked at.
    pub fn asked_besides(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }

    /// Answers once more, if it is slow.
    pub fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }

    /// Sends signals to the one who asked last, all in one go.
    pub fn send(&self, signals: &[Signal]) {
        let client = self.client.lock().unwrap().clone();
        block_on(async {
            for signal in signals {
                self.connection.send(&signal.to(client.as_deref())).await.unwrap();
            }
        });
    }

    /// Somebody else sends a signal in its name. Returns when the bus has passed it on.
    pub fn forged(&self, stranger: &Connection, signal: &Signal) {
        let client = self.client.lock().unwrap().clone();
        block_on(async {
            stranger.send(&signal.to(client.as_deref())).await.unwrap();
            stranger.request_name("org.example.Stranger").await.unwrap();
        });
    }

    /// Leaves the bus.
    pub fn leave(&self) {
        let _ = block_on(self.connection.clone().close());
    }

    pub fn click(&self, shown: &Shown, label: &str) {
        self.send(&[Signal::Clicked(shown.id, shown.offer(label))]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Signal {
    fn to(&self, client: Option<&str>) -> Message {
        let member = match self {
            Self::Clicked(..) => "ActionInvoked",
            Self::Closed(..) => "NotificationClosed",
        };
        let mut message = Message::signal(PATH, NAME, member).unwrap();
        if let Some(client) = client {
            message = message.destination(client.to_owned()).unwrap();
        }
        match self {
            Self::Clicked(id, name) => message.build(&(id, name)),
            Self::Closed(id, reason) => message.build(&(id, reason)),
        }
        .unwrap()
    }
}

/// The side that takes orders.
struct Desk {
    connection: Connection,
    manners: Manners,
    count: u32,
    say: Sender<Asked>,
    may_go_on: Receiver<()>,
    client: Arc<Mutex<Option<String>>>,
}

impl Desk {
    async fn serve(mut self, mut stream: MessageStream) {
        while let Some(Ok(message)) = stream.next().await {
            if message.message_type() == Type::MethodCall && self.hear(&message).await.is_err() {
                break;
            }
        }
    }

    async fn hear(&mut self, call: &Message) -> zbus::Result<()> {
        let header = call.header();
        match header.member().unwrap().as_str() {
            "GetCapabilities" => self.connection.reply(&header, &self.manners.abilities).await,
            "Notify" => self.notify(call, &header).await,
            "CloseNotification" => {
                let _ = self.say.send(Asked::Close(call.body().deserialize()?));
                self.connection.reply(&header, &()).await
            }
            other => panic!("nobody needs `{other}`"),
        }
    }

    async fn notify(&mut self, call: &Message, header: &Header<'_>) -> zbus::Result<()> {
        type Words =
            (String, u32, String, String, String, Vec<String>, HashMap<String, OwnedValue>, i32);
        let (_, replaces, icon, title, body, offers, hints, timeout): Words =
            call.body().deserialize()?;
        let id = NonZeroU32::new(replaces).map_or_else(
            || {
                self.count += 1;
                self.count
            },
            NonZeroU32::get,
        );
        let mut hints: Vec<String> = hints.into_keys().collect();
        hints.sort();
        let names: Vec<String> = offers.iter().step_by(2).cloned().collect();
        let client = header.sender().unwrap().to_string();
        let to = (!self.manners.broadcasts).then_some(client);
        let shown = Shown { id, replaces, icon, title, body, offers, hints, timeout };
        self.client.lock().unwrap().clone_from(&to);
        if self.manners.is_slow {
            let _ = self.say.send(Asked::Show(shown));
            let _ = self.may_go_on.recv();
            return self.connection.reply(header, &id).await;
        }
        self.connection.reply(header, &id).await?;
        for signal in (self.manners.reflex)(id, &names) {
            self.connection.send(&signal.to(to.as_deref())).await?;
        }
        let _ = self.say.send(Asked::Show(shown));
        Ok(())
    }
}
