//! The screen of macOS. Whoever shows a notice there waits for the click, so each that can be clicked has a
//! thread of its own, which ends when its notice is off the screen.
//!
//! What macOS does not let us do: replace a notice in its place (the former is taken off and the next comes
//! as a new one), show more than one button and one to close (the others are in a list), and keep a notice
//! before the user's eyes (after some seconds it is in the list of notices). Its interface for notices is
//! the former one, because the present one is only for programs in a signed bundle; and as nobody tells us
//! by what name it knows a notice, ours are found again by their words.

#![allow(deprecated)]

use std::env;
use std::path::Path;
use std::sync::Once;
use std::thread;

use notify_rust::{Notification, NotificationResponse, NsNotificationExt};
use objc2_foundation::NSUserNotificationCenter;

use super::{Inbox, OnAction, Setup, Trouble};
use crate::ui::menu::Action;
use crate::ui::notices::{Change, Notice};

/// So many notices are on the screen; the oldest make room.
const MOST: usize = 16;

pub(super) async fn run(_: &Setup, inbox: &Inbox, on_action: &OnAction) {
    let mut trouble = Trouble::default();
    // The oldest first.
    let mut shown: Vec<Notice> = Vec::new();
    while let Some(change) = inbox.next(true).await {
        shown.extract_if(.., |former| former.key == super::key(&change)).for_each(take_off);
        let Change::Show(notice) = change else { continue };
        if shown.len() >= MOST {
            take_off(shown.remove(0));
        }
        match show(&notice, on_action) {
            Ok(()) => trouble.is_over(),
            Err(error) => trouble.say(&error),
        }
        shown.push(notice);
    }
    // A click would be heard by nobody.
    shown.into_iter().for_each(take_off);
}

/// Says whose notices these are, or the user is asked where a program is that nobody has.
fn introduce() {
    let own = env::current_exe().unwrap_or_default();
    if let Err(error) = notify_rust::set_application(identity(&own)) {
        tracing::debug!("notices are shown as another program's: {error}");
    }
}

/// Only a bundle has a name of its own.
fn identity(program: &Path) -> &'static str {
    let is_bundled = program.to_string_lossy().contains(".app/Contents/MacOS/");
    if is_bundled { "org.modsync.ModSync" } else { "com.apple.Finder" }
}

fn show(notice: &Notice, on_action: &OnAction) -> anyhow::Result<()> {
    static INTRODUCED: Once = Once::new();
    INTRODUCED.call_once(introduce);
    let notification = notification(notice);
    if notice.click.is_none() && notice.offers.iter().all(|(_, action)| action.is_none()) {
        // Whoever does not wait for the click sends it by letting go.
        return Ok(notification.show().map(drop)?);
    }
    let (notice, on_action) = (notice.clone(), OnAction::clone(on_action));
    let listen = move || {
        let waited = notification.show().and_then(|shown| {
            shown.wait_for_response(|response: &NotificationResponse| {
                chosen(&notice, response).into_iter().for_each(|action| on_action(action));
            })
        });
        if let Err(error) = waited {
            tracing::debug!("a notice cannot be shown: {error}");
        }
    };
    thread::Builder::new().name("notice".to_owned()).spawn(listen)?;
    Ok(())
}

/// Takes it off the screen, wherever it is there. Who waits for its click hears that it is gone.
fn take_off(notice: Notice) {
    let center = NSUserNotificationCenter::defaultUserNotificationCenter();
    for there in center.deliveredNotifications() {
        let words = [there.title(), there.informativeText()];
        let words = words.map(|text| text.map(|text| text.to_string()).unwrap_or_default());
        if words == [notice.title.as_str(), notice.body.as_str()] {
            center.removeDeliveredNotification(&there);
        }
    }
}

fn notification(notice: &Notice) -> Notification {
    let mut notification = Notification::new();
    notification.appname("ModSync").summary(&notice.title).body(&notice.body);
    for (n, (label, action)) in notice.offers.iter().enumerate() {
        match action {
            Some(_) => notification.action(&n.to_string(), label),
            None => notification.close_button(label),
        };
    }
    notification
}

fn chosen(notice: &Notice, response: &NotificationResponse) -> Option<Action> {
    match response {
        NotificationResponse::Default => notice.click.clone(),
        NotificationResponse::Action(name) => {
            let n: usize = name.parse().ok()?;
            notice.offers.get(n)?.1.clone()
        }
        NotificationResponse::Reply(_) | NotificationResponse::Closed(_) => None,
    }
}
