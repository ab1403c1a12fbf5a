//! Linux: the icon lives on the session bus and needs no event loop, so a channel is the loop.

use std::sync::mpsc::{Receiver, Sender, channel};

use tray_icon::{Icon, TrayIcon, TrayIconBuilder};

use super::bus;
use super::{Chosen, Corner, Menu, TrayError, Wish};
use crate::ui::menu::NAME;

/// Some panels tell a click, others open the menu.
pub(super) const CLICK_OPENS_MENU: bool = false;

/// The tray, for other threads.
#[derive(Debug, Clone)]
pub struct Tray(Sender<Wish>);

impl Tray {
    pub fn show(&self, menu: Menu) {
        let _ = self.0.send(Wish::Show(menu));
    }

    pub fn quit(&self) {
        let _ = self.0.send(Wish::Quit);
    }
}

/// Shows the tray until it is told to quit. `begin` runs first, with the reason when there is no icon yet;
/// `end` runs last.
pub fn run(
    first: Menu,
    on: impl Fn(Chosen) + Send + Sync + Clone + 'static,
    begin: impl FnOnce(Tray, Option<TrayError>) -> bool,
    end: impl FnOnce(),
) {
    let (sender, wishes) = channel();
    let mut corner = Corner::new(first, on);
    let error = corner.draw().err().or_else(|| (!bus::has_panel()).then_some(TrayError::NoPanel));
    let again = sender.clone();
    bus::when_it_is_back(move || again.send(Wish::Again).is_ok());
    if begin(Tray(sender), error) {
        follow(&mut corner, &wishes);
    }
    end();
}

fn follow(corner: &mut Corner, wishes: &Receiver<Wish>) {
    while let Ok(wish) = wishes.recv() {
        let drawn = match wish {
            Wish::Show(menu) => corner.show(menu),
            Wish::Again => {
                corner.drawn = None;
                corner.draw()
            }
            Wish::Quit => break,
        };
        // That there is no tray was said at the start.
        if let Err(error) = drawn {
            tracing::debug!("{error}");
        }
    }
}

pub(super) fn dressed(builder: TrayIconBuilder, icon: Icon) -> TrayIconBuilder {
    // What a host calls us; elsewhere it would be a text beside the icon.
    builder.with_icon(icon).with_title(NAME)
}

/// A host shows the title above it.
pub(super) fn tooltip(text: &str) -> &str {
    text.strip_prefix(NAME).unwrap_or(text).trim_start()
}

pub(super) fn set_icon(tray: &TrayIcon, icon: Icon) -> tray_icon::Result<()> {
    tray.set_icon(Some(icon))
}
