//! The screen of macOS. Whoever shows a notice there waits for the click, so each has a thread of its own,
//! and nothing can be replaced or taken off: the system does that when the program ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use notify_rust::{Notification, NotificationResponse, NsNotificationExt};

use super::{Inbox, OnAction, Setup, Trouble};
use crate::ui::menu::Action;
use crate::ui::notices::{Change, Notice};

/// So many notices wait for a click; more are shown and not listened to.
const LISTENING: usize = 16;

pub(super) async fn run(_: &Setup, inbox: &Inbox, on_action: &OnAction) {
    let mut trouble = Trouble::default();
    let listening = Arc::new(AtomicUsize::new(0));
    while let Some(change) = inbox.next(true).await {
        let Change::Show(notice) = change else { continue };
        let notification = notification(&notice);
        if listening.load(Ordering::Relaxed) >= LISTENING {
            match notification.show() {
                Ok(_) => trouble.is_over(),
                Err(error) => trouble.say(&error),
            }
            continue;
        }
        let place = Place::take(&listening);
        let on_action = OnAction::clone(on_action);
        let listen = move || {
            let _place = place;
            let waited = notification.show().and_then(|shown| {
                shown.wait_for_response(|response: &NotificationResponse| {
                    chosen(&notice, response).into_iter().for_each(|action| on_action(action));
                })
            });
            if let Err(error) = waited {
                tracing::debug!("a notice cannot be shown: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().name("notice".to_owned()).spawn(listen) {
            trouble.say(&error);
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

/// A place among those who listen.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(listening: &Arc<AtomicUsize>) -> Self {
        listening.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(listening))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
