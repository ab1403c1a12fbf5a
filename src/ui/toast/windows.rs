//! The screen of Windows: toasts, which go to the notification centre when their time is over and wait
//! there for a click.
//!
//! Straight on the system's interface, because what is between us and it elsewhere can neither replace
//! a toast nor take one off.

use std::fmt::Write;

use windows::Data::Xml::Dom::XmlDocument;
use windows::Foundation::TypedEventHandler;
use windows::UI::Notifications::{
    ToastActivatedEventArgs, ToastNotification, ToastNotificationHistory, ToastNotificationManager,
};
use windows::core::{HSTRING, IInspectable, Interface};

use super::{Inbox, MOST, OnAction, Setup, Trouble};
use crate::ui::menu::Action;
use crate::ui::notices::{Change, Notice};

/// How Windows knows us. It drops the toasts of an application that is not registered, without a word.
const APPLICATION: &str = "ModSync";
const REGISTERED: &str = r"Software\Classes\AppUserModelId\ModSync";
const GROUP: &str = "notices";

pub(super) async fn run(setup: &Setup, inbox: &Inbox, on_action: &OnAction) {
    let mut trouble = Trouble::default();
    let mut screen = Screen { on_action: OnAction::clone(on_action), shown: Vec::new(), count: 0 };
    // A click on what a former run left behind would be heard by nobody.
    let ready = register(setup).and_then(|()| clear());
    if let Err(error) = ready {
        trouble.say(&error);
    }
    while let Some(change) = inbox.next(true).await {
        let done = match &change {
            Change::Show(notice) => screen.show(notice).map(|()| trouble.is_over()),
            Change::Close(key) => screen.close(key),
        };
        if let Err(error) = done {
            trouble.say(&error);
        }
    }
    if let Err(error) = clear() {
        trouble.say(&error);
    }
}

/// Gives the name and the icon that are shown with our toasts.
fn register(setup: &Setup) -> anyhow::Result<()> {
    let key = windows_registry::CURRENT_USER.create(REGISTERED)?;
    key.set_string("DisplayName", "ModSync")?;
    if let Some(icon) = setup.icon.as_deref().and_then(|path| path.to_str()) {
        key.set_string("IconUri", icon)?;
    }
    Ok(())
}

fn clear() -> anyhow::Result<()> {
    Ok(history()?.ClearWithId(&HSTRING::from(APPLICATION))?)
}

fn history() -> anyhow::Result<ToastNotificationHistory> {
    Ok(ToastNotificationManager::History()?)
}

struct Screen {
    on_action: OnAction,
    shown: Vec<Shown>,
    count: u64,
}

struct Shown {
    key: String,
    tag: HSTRING,
    /// Kept, so that a click is heard for as long as it can be made.
    _toast: ToastNotification,
}

impl Screen {
    fn show(&mut self, notice: &Notice) -> anyhow::Result<()> {
        let former = self.shown.extract_if(.., |shown| shown.key == notice.key).last();
        let tag = former.map_or_else(
            || {
                self.count += 1;
                HSTRING::from(self.count.to_string())
            },
            |shown| shown.tag,
        );
        let content = XmlDocument::new()?;
        content.LoadXml(&HSTRING::from(xml(notice)))?;
        let toast = ToastNotification::CreateToastNotification(&content)?;
        toast.SetTag(&tag)?;
        toast.SetGroup(&HSTRING::from(GROUP))?;
        toast.Activated(&self.on_click(notice))?;
        let application = HSTRING::from(APPLICATION);
        ToastNotificationManager::CreateToastNotifierWithId(&application)?.Show(&toast)?;
        self.shown.push(Shown { key: notice.key.clone(), tag, _toast: toast });
        if self.shown.len() > MOST {
            self.shown.remove(0);
        }
        Ok(())
    }

    fn close(&mut self, key: &str) -> anyhow::Result<()> {
        for shown in self.shown.extract_if(.., |shown| shown.key == key) {
            history()?.RemoveGroupedTagWithId(
                &shown.tag,
                &HSTRING::from(GROUP),
                &HSTRING::from(APPLICATION),
            )?;
        }
        Ok(())
    }

    /// What a click does is settled when the toast is shown: what replaces it cannot change that.
    fn on_click(&self, notice: &Notice) -> TypedEventHandler<ToastNotification, IInspectable> {
        let on_action = OnAction::clone(&self.on_action);
        let (click, offers) = (notice.click.clone(), notice.offers.clone());
        TypedEventHandler::new(move |_, how: windows::core::Ref<'_, IInspectable>| {
            let how: ToastActivatedEventArgs = how.ok()?.cast()?;
            let chosen = chosen(&how.Arguments()?.to_string(), click.as_ref(), &offers);
            chosen.into_iter().for_each(|action| on_action(action.clone()));
            Ok(())
        })
    }
}

/// What the name of an offer stands for; that of the notice itself is empty.
fn chosen<'a>(
    name: &str,
    click: Option<&'a Action>,
    offers: &'a [(String, Option<Action>)],
) -> Option<&'a Action> {
    if name.is_empty() {
        return click;
    }
    let n: usize = name.parse().ok()?;
    offers.get(n)?.1.as_ref()
}

/// Silent, and never in front of all else: the user may be in the middle of a game.
fn xml(notice: &Notice) -> String {
    let duration = if notice.stays { "long" } else { "short" };
    let mut actions = String::new();
    for (n, (label, _)) in notice.offers.iter().enumerate() {
        let _ = write!(actions, r#"<action content="{}" arguments="{n}"/>"#, escaped(label));
    }
    format!(
        r#"<toast duration="{duration}"><visual><binding template="ToastGeneric"><text>{}</text><text>{}</text></binding></visual><actions>{actions}</actions><audio silent="true"/></toast>"#,
        escaped(&notice.title),
        escaped(&notice.body)
    )
}

/// As XML holds it, which has no place for control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_stay_words() {
        let notice = Notice {
            key: "p/update".to_owned(),
            title: "Tom & <b>Jerry</b>\u{1b}".to_owned(),
            body: String::new(),
            offers: vec![
                ("Keep \"them\"".to_owned(), None),
                ("Quit".to_owned(), Some(Action::Quit)),
            ],
            click: Some(Action::CheckAll),
            stays: true,
        };
        assert_eq!(
            xml(&notice),
            r#"<toast duration="long"><visual><binding template="ToastGeneric"><text>Tom &amp; &lt;b&gt;Jerry&lt;/b&gt; </text><text></text></binding></visual><actions><action content="Keep &quot;them&quot;" arguments="0"/><action content="Quit" arguments="1"/></actions><audio silent="true"/></toast>"#
        );
        let chosen = |name| chosen(name, notice.click.as_ref(), &notice.offers);
        assert_eq!(chosen(""), Some(&Action::CheckAll));
        assert_eq!(chosen("0"), None);
        assert_eq!(chosen("1"), Some(&Action::Quit));
        assert_eq!(chosen("2"), None);
    }
}
