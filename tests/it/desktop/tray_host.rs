//! [`TrayHost`]: what a panel does with an icon, by script: it sees the tooltip, opens the menu and clicks.
//!
//! It speaks the protocol of status notifier items
//! (<https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/>) and com.canonical.dbusmenu.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use zbus::blocking::{Connection, MessageIterator, Proxy};
use zbus::message::Header;
use zbus::zvariant::{OwnedValue, Value};

use super::bus::Bus;
use crate::world::LIMIT;

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

/// A panel that shows icons.
pub struct TrayHost {
    connection: Connection,
    /// Who registered an icon, and every signal of it.
    news: Receiver<News>,
    item: Option<String>,
}

enum News {
    Registered(String),
    Changed,
}

struct Watcher {
    news: Sender<News>,
}

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
#[allow(clippy::unused_self)]
impl Watcher {
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: Header<'_>) {
        let sender = header.sender().unwrap().to_string();
        let name = if service.starts_with('/') { sender } else { service.to_owned() };
        self.news.send(News::Registered(name)).unwrap();
    }

    fn register_status_notifier_host(&self, host: &str) {
        assert!(!host.is_empty());
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        Vec::new()
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

/// A line of a menu as a user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    id: i32,
    depth: usize,
    pub text: String,
}

impl TrayHost {
    pub fn start(bus: &Bus) -> Self {
        let (sender, news) = channel();
        let watcher = Watcher { news: sender.clone() };
        // Served from the start: what is served later may miss the first call.
        let connection = zbus::blocking::connection::Builder::address(bus.address())
            .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", watcher))
            .and_then(zbus::blocking::connection::Builder::build)
            .unwrap();
        connection.request_name(WATCHER).unwrap();
        let rule = zbus::MatchRule::builder().msg_type(zbus::message::Type::Signal).build();
        let signals = MessageIterator::for_match_rule(rule, &connection, Some(4096)).unwrap();
        thread::spawn(move || {
            for _ in signals.flatten() {
                if sender.send(News::Changed).is_err() {
                    return;
                }
            }
        });
        Self { connection, news, item: None }
    }

    /// Waits until the icon is there.
    pub fn await_icon(&mut self) {
        let end = Instant::now() + LIMIT;
        while self.item.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if let News::Registered(name) = self.news.recv_timeout(left).expect("no icon comes") {
                self.item = Some(name);
            }
        }
    }

    /// Waits until another one is there.
    pub fn await_new_icon(&mut self) {
        self.item = None;
        self.await_icon();
    }

    /// The title, and the text below it.
    fn tooltip(&self) -> String {
        type ToolTip = (String, Vec<(i32, i32, Vec<u8>)>, String, String);
        let (_, _, title, text): ToolTip =
            self.item(ITEM, "/StatusNotifierItem").get_property("ToolTip").unwrap();
        format!("{title}\n{text}")
    }

    /// Width, height and bytes: alpha, red, green, blue.
    fn icon(&self) -> (i32, i32, Vec<u8>) {
        let icons: Vec<(i32, i32, Vec<u8>)> =
            self.item(ITEM, "/StatusNotifierItem").get_property("IconPixmap").unwrap();
        icons.into_iter().next().unwrap()
    }

    /// Waits until this is the icon.
    #[track_caller]
    pub fn await_picture(&self, wanted: &(i32, i32, Vec<u8>)) {
        self.await_news(|| self.icon() == *wanted, "the icon stays another one");
    }

    /// Waits until the tooltip says this and no more.
    #[track_caller]
    pub fn await_tooltip(&self, wanted: &str) {
        self.await_news(|| self.tooltip() == wanted, "the tooltip says something else");
    }

    #[track_caller]
    fn await_news(&self, is_so: impl Fn() -> bool, otherwise: &str) {
        let end = Instant::now() + LIMIT;
        while !is_so() {
            let left = end.saturating_duration_since(Instant::now());
            assert!(self.news.recv_timeout(left).is_ok(), "{otherwise}");
        }
    }

    /// Every line of the menu: `[x]` marks a switch that is on, `(…)` what cannot be chosen.
    pub fn menu(&self) -> Vec<Line> {
        type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
        fn walk(layout: Layout, depth: usize, into: &mut Vec<Line>) {
            let (id, properties, below) = layout;
            if depth > 0 {
                let text = line(&properties);
                into.push(Line { id, depth, text: format!("{}{text}", "  ".repeat(depth - 1)) });
            }
            for child in below {
                walk(Layout::try_from(child).unwrap(), depth + 1, into);
            }
        }
        let menu = self.item(MENU, &self.menu_path());
        let (_, layout): (u32, Layout) =
            menu.call("GetLayout", &(0_i32, -1_i32, Vec::<String>::new())).unwrap();
        let mut lines = Vec::new();
        walk(layout, 0, &mut lines);
        lines
    }

    /// The menu's lines, one below the other.
    pub fn text(&self) -> String {
        self.menu().into_iter().map(|line| line.text + "\n").collect()
    }

    /// Waits until the menu has such a line, and gives the whole menu.
    #[track_caller]
    pub fn await_line(&self, wanted: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let text = self.text();
            if text.lines().any(|line| line.trim_start().starts_with(wanted)) {
                return text;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(self.news.recv_timeout(left).is_ok(), "no line `{wanted}` comes:\n{text}");
        }
    }

    /// Chooses the line that begins so, as soon as there is one.
    #[track_caller]
    pub fn click(&self, wanted: &str) {
        self.await_line(wanted);
        let menu = self.menu();
        let line = menu.iter().find(|line| line.text.trim_start().starts_with(wanted));
        let line = line.unwrap_or_else(|| panic!("no line `{wanted}`:\n{}", self.text()));
        let event = (line.id, "clicked", Value::from(0_i32), 0_u32);
        let answer = self.item(MENU, &self.menu_path()).call::<_, _, ()>("Event", &event);
        // Who quits may be gone before it answers.
        if let Err(error) = answer {
            assert!(error.to_string().contains("DBus.Error.NoReply"), "{error}");
        }
    }

    fn menu_path(&self) -> String {
        let path: zbus::zvariant::OwnedObjectPath =
            self.item(ITEM, "/StatusNotifierItem").get_property("Menu").unwrap();
        path.to_string()
    }

    fn item(&self, interface: &'static str, path: &str) -> Proxy<'static> {
        let name = self.item.clone().expect("the icon was not waited for");
        let proxy = zbus::blocking::proxy::Builder::<Proxy<'_>>::new(&self.connection)
            .destination(name)
            .and_then(|proxy| proxy.path(path.to_owned()))
            .and_then(|proxy| proxy.interface(interface))
            .unwrap();
        proxy.cache_properties(zbus::proxy::CacheProperties::No).build().unwrap()
    }
}

fn line(properties: &HashMap<String, OwnedValue>) -> String {
    let text = |name: &str| properties.get(name).and_then(|v| v.downcast_ref::<&str>().ok());
    let number = |name: &str| properties.get(name).and_then(|v| v.downcast_ref::<i32>().ok());
    let enabled = properties.get("enabled").and_then(|v| v.downcast_ref::<bool>().ok());
    if text("type") == Some("separator") {
        return "---".to_owned();
    }
    let label = text("label").unwrap_or_default();
    let label = if enabled == Some(false) { format!("({label})") } else { label.to_owned() };
    match text("toggle-type") {
        Some(_) if number("toggle-state") == Some(1) => format!("[x] {label}"),
        Some(_) => format!("[ ] {label}"),
        None => label,
    }
}
