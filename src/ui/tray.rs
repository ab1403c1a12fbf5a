//! Draws a [`Menu`] with tray-icon and says what was chosen. Nothing is decided here.
//!
//! The tray's objects belong to one thread, the main one; everybody else holds a [`Tray`]. That the icon
//! was made does not mean that somebody shows it: on Linux it appears when a host comes.

#[cfg(not(any(windows, target_os = "macos")))]
mod bus;
#[cfg_attr(any(windows, target_os = "macos"), path = "tray/native_loop.rs")]
#[cfg_attr(not(any(windows, target_os = "macos")), path = "tray/channel_loop.rs")]
mod platform;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tray_icon::menu::{
    CheckMenuItem, IsMenuItem, Menu as NativeMenu, MenuEvent, MenuItem, PredefinedMenuItem, Submenu,
};
use tray_icon::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};

use super::menu::{Action, Icon, Item, Menu};

pub use platform::{Tray, run};

/// The name by which the system knows our icon.
const ID: &str = "modsync";

/// What the user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    Item(Action),
    /// The icon itself, where that opens no menu.
    Icon,
}

/// What another thread wants of the tray.
#[derive(Debug)]
enum Wish {
    Show(Menu),
    /// Whoever showed the icon has gone.
    #[cfg(not(any(windows, target_os = "macos")))]
    Again,
    Quit,
}

#[derive(Debug, thiserror::Error)]
pub enum TrayError {
    #[error("no panel shows icons here")]
    NoPanel,
    #[error("could not show an icon in the tray: {0}")]
    Tray(#[from] tray_icon::Error),
    #[error("could not make the tray's menu: {0}")]
    Menu(#[from] tray_icon::menu::Error),
    #[error("could not read the tray's icon: {0}")]
    Picture(#[from] png::DecodingError),
    #[error("could not use the tray's icon: {0}")]
    Icon(#[from] tray_icon::BadIcon),
}

/// What an item's id stands for right now; the ids of an open menu may be older.
type Actions = Arc<Mutex<BTreeMap<String, Action>>>;

/// Where the icon is, or will be.
struct Corner {
    /// What is to be shown.
    menu: Menu,
    drawn: Option<Drawn>,
    actions: Actions,
}

impl Corner {
    fn new(menu: Menu, on: impl Fn(Chosen) + Send + Sync + Clone + 'static) -> Self {
        let actions = Actions::default();
        listen(&actions, on);
        Self { menu, drawn: None, actions }
    }

    fn show(&mut self, menu: Menu) -> Result<(), TrayError> {
        self.menu = menu;
        self.draw()
    }

    /// Draws what is not drawn yet. To be tried again when it fails.
    fn draw(&mut self) -> Result<(), TrayError> {
        if let Some(drawn) = &mut self.drawn {
            return drawn.show(&self.menu);
        }
        self.drawn = Some(Drawn::new(&self.menu, Arc::clone(&self.actions))?);
        Ok(())
    }
}

/// The icon and its menu on the screen.
struct Drawn {
    icon: TrayIcon,
    items: Vec<DrawnItem>,
    shown: Menu,
    actions: Actions,
}

enum DrawnItem {
    Line(MenuItem),
    Entry(MenuItem),
    Check(CheckMenuItem),
    Submenu(Submenu, Vec<DrawnItem>),
    Separator,
}

impl Drawn {
    fn new(menu: &Menu, actions: Actions) -> Result<Self, TrayError> {
        let (native, items) = built(&menu.items)?;
        remember(&actions, &menu.items);
        let builder = TrayIconBuilder::new()
            .with_id(ID)
            .with_tooltip(platform::tooltip(&menu.tooltip))
            .with_menu(Box::new(native));
        let builder = platform::dressed(builder, native_icon(menu.icon)?);
        Ok(Self { icon: builder.build()?, items, shown: menu.clone(), actions })
    }

    /// Shows another menu, and touches only what differs: what is rebuilt under the pointer is not what
    /// the user meant to choose. The menu comes first: it works where the icon cannot be drawn just now.
    fn show(&mut self, menu: &Menu) -> Result<(), TrayError> {
        remember(&self.actions, &menu.items);
        if same_shape(&self.shown.items, &menu.items) {
            self.items.iter().zip(&menu.items).for_each(|(drawn, item)| drawn.update(item));
        } else {
            let (native, items) = built(&menu.items)?;
            self.icon.set_menu(Some(Box::new(native)));
            self.items = items;
        }
        self.shown.items.clone_from(&menu.items);
        if menu.icon != self.shown.icon {
            platform::set_icon(&self.icon, native_icon(menu.icon)?)?;
            self.shown.icon = menu.icon;
        }
        if menu.tooltip != self.shown.tooltip {
            self.icon.set_tooltip(Some(platform::tooltip(&menu.tooltip)))?;
            self.shown.tooltip.clone_from(&menu.tooltip);
        }
        Ok(())
    }
}

impl DrawnItem {
    fn update(&self, item: &Item) {
        match (self, item) {
            (Self::Line(drawn), Item::Line(text)) => set_text(drawn, text),
            (Self::Entry(drawn), Item::Entry { label, enabled, .. }) => {
                set_text(drawn, label);
                if drawn.is_enabled() != *enabled {
                    drawn.set_enabled(*enabled);
                }
            }
            (Self::Check(drawn), Item::Check { label, checked, enabled, .. }) => {
                if drawn.text() != escaped(label) {
                    drawn.set_text(escaped(label));
                }
                // A click has switched it already.
                if drawn.is_checked() != *checked {
                    drawn.set_checked(*checked);
                }
                if drawn.is_enabled() != *enabled {
                    drawn.set_enabled(*enabled);
                }
            }
            (Self::Submenu(drawn, below), Item::Submenu { label, items }) => {
                if drawn.text() != escaped(label) {
                    drawn.set_text(escaped(label));
                }
                below.iter().zip(items).for_each(|(drawn, item)| drawn.update(item));
            }
            (
                Self::Line(_)
                | Self::Entry(_)
                | Self::Check(_)
                | Self::Submenu(..)
                | Self::Separator,
                _,
            ) => {}
        }
    }
}

fn set_text(drawn: &MenuItem, text: &str) {
    if drawn.text() != escaped(text) {
        drawn.set_text(escaped(text));
    }
}

/// A menu takes `&` for the mark of a key.
fn escaped(text: &str) -> String {
    text.replace('&', "&&")
}

fn built(items: &[Item]) -> Result<(NativeMenu, Vec<DrawnItem>), TrayError> {
    let menu = NativeMenu::new();
    let drawn = append(items, &mut |item| menu.append(item))?;
    Ok((menu, drawn))
}

fn append(
    items: &[Item],
    to: &mut dyn FnMut(&dyn IsMenuItem) -> tray_icon::menu::Result<()>,
) -> Result<Vec<DrawnItem>, TrayError> {
    let mut drawn = Vec::new();
    for item in items {
        drawn.push(match item {
            Item::Line(text) => {
                let line = MenuItem::new(escaped(text), false, None);
                to(&line)?;
                DrawnItem::Line(line)
            }
            Item::Entry { label, action, enabled } => {
                let entry = MenuItem::with_id(id(action), escaped(label), *enabled, None);
                to(&entry)?;
                DrawnItem::Entry(entry)
            }
            Item::Check { label, action, checked, enabled } => {
                let (id, label) = (id(action), escaped(label));
                let check = CheckMenuItem::with_id(id, label, *enabled, *checked, None);
                to(&check)?;
                DrawnItem::Check(check)
            }
            Item::Submenu { label, items } => {
                let submenu = Submenu::new(escaped(label), true);
                let below = append(items, &mut |item| submenu.append(item))?;
                to(&submenu)?;
                DrawnItem::Submenu(submenu, below)
            }
            Item::Separator => {
                to(&PredefinedMenuItem::separator())?;
                DrawnItem::Separator
            }
        });
    }
    Ok(drawn)
}

/// Whether the items differ in their words and marks alone.
fn same_shape(old: &[Item], new: &[Item]) -> bool {
    let same = |(old, new): (&Item, &Item)| match (old, new) {
        (Item::Line(_), Item::Line(_)) | (Item::Separator, Item::Separator) => true,
        (Item::Entry { action: old, .. }, Item::Entry { action: new, .. })
        | (Item::Check { action: old, .. }, Item::Check { action: new, .. }) => id(old) == id(new),
        (Item::Submenu { items: old, .. }, Item::Submenu { items: new, .. }) => {
            same_shape(old, new)
        }
        (
            Item::Line(_)
            | Item::Separator
            | Item::Entry { .. }
            | Item::Check { .. }
            | Item::Submenu { .. },
            _,
        ) => false,
    };
    old.len() == new.len() && old.iter().zip(new).all(same)
}

/// One id for one meaning: an approval of another plan is another item, a switch stays the same one.
fn id(action: &Action) -> String {
    match action.switch() {
        Some(switch) => switch,
        None => format!("{action:?}"),
    }
}

fn remember(actions: &Actions, items: &[Item]) {
    fn collect(items: &[Item], into: &mut BTreeMap<String, Action>) {
        for item in items {
            match item {
                Item::Entry { action, .. } | Item::Check { action, .. } => {
                    into.insert(id(action), action.clone());
                }
                Item::Submenu { items, .. } => collect(items, into),
                Item::Line(_) | Item::Separator => {}
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(items, &mut all);
    *actions.lock().unwrap_or_else(PoisonError::into_inner) = all;
}

/// Passes on what the user does. The handlers run while the tray is locked: they may only pass on.
fn listen(actions: &Actions, on: impl Fn(Chosen) + Send + Sync + Clone + 'static) {
    let (actions, chosen) = (Arc::clone(actions), on.clone());
    MenuEvent::set_event_handler(Some(move |event: MenuEvent| {
        let actions = actions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(action) = actions.get(&event.id.0) {
            chosen(Chosen::Item(action.clone()));
        }
    }));
    TrayIconEvent::set_event_handler(Some(move |event| {
        let (button, up) = (MouseButton::Left, MouseButtonState::Up);
        if !platform::CLICK_OPENS_MENU
            && matches!(event, TrayIconEvent::Click { button: b, button_state: s, .. } if (b, s) == (button, up))
        {
            on(Chosen::Icon);
        }
    }));
}

fn native_icon(icon: Icon) -> Result<tray_icon::Icon, TrayError> {
    let picture = icon.picture()?;
    Ok(tray_icon::Icon::from_rgba(picture.rgba, picture.width, picture.height)?)
}
