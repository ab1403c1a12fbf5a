//! [`Dunst`]: the real dunst on a screen that nobody sees.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zbus::message::Message;
use zbus::zvariant::OwnedValue;
use zbus::{Connection, block_on};

use super::PATIENCE;
use crate::desktop::bus::Bus;
use crate::desktop::screen::Screen;

/// How often it is asked whether it is done.
const LOOK: Duration = Duration::from_millis(20);

/// It and its screen end when this is dropped.
#[derive(Debug)]
pub struct Dunst {
    program: Child,
    screen: Screen,
    connection: Connection,
}

impl Dunst {
    /// Starts it on a screen of its own, with all it needs in `folder`. Where the user chooses, it takes
    /// what says `choice`.
    pub fn start(bus: &Bus, folder: &Path, choice: &str) -> Self {
        Self::start_on(Screen::start(), bus, folder, choice)
    }

    pub fn start_on(screen: Screen, bus: &Bus, folder: &Path, choice: &str) -> Self {
        let choose = folder.join("choose");
        fs::write(&choose, format!("exec grep -m 1 '{choice}'\n")).unwrap();
        let configuration = folder.join("dunstrc");
        let settings = format!("[global]\nmarkup = full\ndmenu = /bin/sh {}\n", choose.display());
        fs::write(&configuration, settings).unwrap();
        let program = Command::new("dunst")
            .arg("-conf")
            .arg(&configuration)
            .env("DISPLAY", screen.display())
            .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
            .env("HOME", folder)
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("dunst.log")).unwrap())
            .spawn()
            .expect("dunst is not installed; `tests/run.sh` does that");
        Self { program, screen, connection: bus.connect().into_inner() }
    }

    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Opens the menu of what is offered.
    pub fn choose(&self) {
        self.call("org.dunstproject.cmd0", "ContextMenuCall", &()).unwrap();
    }

    pub fn wait_until_shown(&self, count: u32) {
        let end = Instant::now() + PATIENCE;
        while self.displayed() != Some(count) {
            assert!(Instant::now() < end, "dunst does not show {count}");
            thread::sleep(LOOK);
        }
    }

    /// Title and body of the notices that were on the screen.
    pub fn history(&self) -> Vec<(String, String)> {
        let answer = self.call("org.dunstproject.cmd0", "NotificationListHistory", &()).unwrap();
        let notices: Vec<HashMap<String, OwnedValue>> = answer.body().deserialize().unwrap();
        let text = |notice: &HashMap<String, OwnedValue>, key| {
            <&str>::try_from(&notice[key]).unwrap().to_owned()
        };
        notices.iter().map(|notice| (text(notice, "summary"), text(notice, "body"))).collect()
    }

    /// `None` while it is not there yet.
    fn displayed(&self) -> Option<u32> {
        let which = ("org.dunstproject.cmd0", "displayedLength");
        let answer = self.call("org.freedesktop.DBus.Properties", "Get", &which).ok()?;
        let count: OwnedValue = answer.body().deserialize().unwrap();
        u32::try_from(count).ok()
    }

    fn call<B>(&self, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let (service, path) = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications");
        let call = self.connection.call_method(Some(service), path, Some(interface), method, body);
        block_on(call)
    }
}

impl Drop for Dunst {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
