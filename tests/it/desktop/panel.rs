//! [`Panel`]: the real panel of Xfce, with nothing in it but the tray.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::bus::Bus;
use super::screen::Screen;

/// At the top of the screen, as high as this.
pub const HEIGHT: usize = 40;

const SETTINGS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array"><value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="40"/>
      <property name="icon-size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
      <property name="known-items" type="array"><value type="string" value="modsync"/></property>
    </property>
  </property>
</channel>
"#;

/// The panel and the window manager it wants. They end when this is dropped.
#[derive(Debug)]
pub struct Panel {
    programs: Vec<Child>,
}

impl Panel {
    /// Starts it on a bus that may start its service for settings.
    pub fn start(bus: &Bus, screen: &Screen, home: &Path) -> Self {
        let settings = home.join(".config/xfce4/xfconf/xfce-perchannel-xml");
        fs::create_dir_all(&settings).unwrap();
        fs::write(settings.join("xfce4-panel.xml"), SETTINGS).unwrap();
        let start = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .env("DISPLAY", screen.display())
                .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
                .env("HOME", home)
                .env("XDG_RUNTIME_DIR", home)
                .env_remove("WAYLAND_DISPLAY")
                .env_remove("XDG_CONFIG_HOME")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|e| panic!("{program} is installed by tests/run.sh: {e}"))
        };
        let programs = vec![start("openbox", &[]), start("xfce4-panel", &["--disable-wm-check"])];
        Self { programs }
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
