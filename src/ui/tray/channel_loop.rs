//! Linux: the icon lives on the session bus and needs no event loop, so a channel is the loop.

use std::sync::mpsc::{Receiver, Sender, channel};

use tray_icon::{Icon, TrayIcon, TrayIconBuilder};

use super::{Actions, Chosen, Drawn, Menu, TrayError, Wish, listen};

/// The tray, for other threads.
#[derive(Debug, Clone)]
pub struct Tray(Sender<Wish>);

impl Tray {
    pub fn show(&self, menu: Menu) {
        let _ = self.0.send(Wish::Show(menu));
    }

    /// Opens the menu, where the system lets us.
    pub fn pop_up(&self) {
        let _ = self.0.send(Wish::PopUp);
    }

    pub fn quit(&self) {
        let _ = self.0.send(Wish::Quit);
    }
}

/// Shows the tray until it is told to quit. `begin` runs first, with the reason when there is no icon; `end`
/// runs last.
pub fn run(
    first: Menu,
    on: impl Fn(Chosen) + Send + Sync + Clone + 'static,
    begin: impl FnOnce(Tray, Option<TrayError>) -> bool,
    end: impl FnOnce(),
) {
    let (sender, wishes) = channel();
    let actions = Actions::default();
    listen(&actions, on);
    let (drawn, error) = match Drawn::new(first, actions) {
        Ok(drawn) => (Some(drawn), None),
        Err(error) => (None, Some(error)),
    };
    if begin(Tray(sender), error) {
        follow(drawn, &wishes);
    }
    end();
}

fn follow(mut drawn: Option<Drawn>, wishes: &Receiver<Wish>) {
    while let Ok(wish) = wishes.recv() {
        match (wish, &mut drawn) {
            (Wish::Show(menu), Some(drawn)) => {
                if let Err(error) = drawn.show(menu) {
                    tracing::warn!("{error}");
                }
            }
            // The host alone opens menus here.
            (Wish::PopUp, _) | (Wish::Show(_), None) => {}
            (Wish::Quit, _) => break,
        }
    }
}

pub(super) fn dressed(builder: TrayIconBuilder, icon: Icon) -> TrayIconBuilder {
    // What a host calls us; elsewhere it would be a text beside the icon.
    builder.with_icon(icon).with_title("ModSync")
}

pub(super) fn set_icon(tray: &TrayIcon, icon: Icon) -> tray_icon::Result<()> {
    tray.set_icon(Some(icon))
}
