//! The desktop app, seen through a panel and a notification daemon.

pub mod bus;
mod panel;
pub mod screen;
mod tray_host;

use std::process::Command;

use crate::e2e::{next_pack, pack};
use crate::faulty::Faulty;
use crate::place::Place;
use crate::toast::dunst::Dunst;
use crate::world::{LIMIT, Running, World};

use modsync::ui::menu::Icon;

use bus::Bus;
use panel::Panel;
use screen::{GREEN, LEFT, RIGHT, Screen, count};
use tray_host::TrayHost;

/// The app on a session bus, with a home of its own.
fn start(mut command: Command, bus: &str, home: &std::path::Path) -> Running {
    let screenless = ["DISPLAY", "WAYLAND_DISPLAY", "XDG_CONFIG_HOME", "APPIMAGE"];
    screenless.iter().for_each(|name| {
        command.env_remove(name);
    });
    Running::start({
        command.env("DBUS_SESSION_BUS_ADDRESS", bus).env("HOME", home);
        command
    })
}

/// A picture as it goes over the bus: alpha first.
fn picture(icon: Icon) -> (i32, i32, Vec<u8>) {
    let mut picture = icon.picture().unwrap();
    picture.rgba.chunks_exact_mut(4).for_each(|pixel| pixel.rotate_right(1));
    (picture.width.cast_signed(), picture.height.cast_signed(), picture.rgba)
}

const V1: &[(&str, &[u8])] = &[("a.pak", b"one"), ("b.pak", b"two")];

#[test]
fn a_player_needs_nothing_but_the_menu() {
    let (bus, world) = (Bus::start(), World::with(&pack()));
    let mut host = TrayHost::start(&bus);
    let app = start(world.command(""), bus.address(), &world.at("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    assert!(host.tooltip().contains("pack: up to date"), "{}", host.tooltip());
    assert_eq!(host.icon(), picture(Icon::Idle));

    let seeded = world.publish(&next_pack());
    // It cannot be chosen while the first check goes on.
    host.await_line("Check for updates");
    host.click("Check for updates");
    host.await_line("(pack: update available, ");
    assert_eq!(host.icon(), picture(Icon::UpdateAvailable));
    let bytes = seeded.layout.needed(&pack(), &next_pack());
    assert!(bytes > 0);
    host.click("Update now (");
    host.await_line("(pack: up to date)");
    world.has(&next_pack());

    host.click("Undo last update");
    host.await_line("Update again");
    world.has(&pack());
    host.click("Quit");
    app.end(LIMIT).exits(0).says("stopped");
}

#[test]
fn an_update_is_told_applied_by_a_click_on_its_notice_and_told_again() {
    let (bus, world) = (Bus::start(), World::with(&pack()));
    world.set("check_interval", "\"10s\"");
    let dunst = Dunst::start(&bus, &world.at("."), "Update now");
    let mut host = TrayHost::start(&bus);
    let app = start(world.command(""), bus.address(), &world.at("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");

    world.publish(&next_pack());
    let menu = host.await_line("(pack: update available, ");
    assert!(menu.contains("\nUpdate now ("), "{menu}");
    assert_eq!(host.icon(), picture(Icon::UpdateAvailable));
    dunst.wait_until_shown(1);
    // With our own picture in it.
    dunst.screen().await_shot("notice", |shot| count(&shot.points, GREEN) > 200);
    dunst.choose();
    host.await_line("(pack: up to date)");
    assert_eq!(host.icon(), picture(Icon::Idle));
    world.has(&next_pack());

    host.click("Quit");
    app.end(LIMIT).exits(0).says("stopped");
    let history = dunst.history();
    let [(installed, did), (available, asked)] = history.as_slice() else { panic!("{history:?}") };
    assert!(installed.starts_with("pack: Pack (") && installed.ends_with(") is installed"));
    assert_eq!(available, "pack: an update is available");
    assert!(asked.starts_with("2 new, 4 changed, 2 removed · "), "{asked}");
    assert_eq!(asked.replace("to download", "downloaded"), *did);
}

#[test]
fn a_real_panel_shows_the_icon_and_the_menu_and_passes_a_click_on() {
    let (screen, world) = (Screen::start(), World::with(&pack()));
    let home = world.at("home");
    let bus = Bus::start_with_services(&home);
    let _panel = Panel::start(&bus, &screen, &home);
    let app = start(world.command(""), bus.address(), &home);

    // The disc of the icon, in the panel and nowhere else.
    let before = screen.await_shot("tray", |shot| {
        let (panel, below) = shot.points.split_at(shot.width * panel::HEIGHT);
        count(panel, GREEN) > 100 && count(below, GREEN) == 0
    });
    screen.click(before.first(GREEN), RIGHT);
    let menu = screen.await_shot("menu", |shot| shot.changed_from(&before).is_a_menu());
    let menu = menu.changed_from(&before);
    // The last line.
    screen.click((menu.middle(), menu.bottom - 14), LEFT);
    app.end(LIMIT).exits(0).says("stopped");
}

#[test]
fn the_menu_says_how_things_are() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    // It cannot be chosen while the first check goes on.
    let menu = host.await_line("Verify files");
    let release = menu.lines().nth(1).unwrap();
    assert!(release.starts_with("(pack (") && release.ends_with(") · 6 B)"), "{release}");
    let rest: Vec<&str> = menu.lines().skip(2).collect();
    assert_eq!(
        rest,
        [
            "---",
            "Check for updates",
            "(Update now)",
            "Verify files",
            "(Repair)",
            "(Remove extra files…)",
            "(Put removed files back)",
            "(Undo last update)",
            "Open folder",
            "[ ] Pause",
            "---",
            "[ ] Automatic updates",
            "[ ] Launch at login",
            "Edit settings",
            "Show log",
            "---",
            "Quit",
        ]
    );
    drop(app);
}

#[test]
fn switches_turn_and_stay() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let mut app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");

    host.click("[ ] Pause");
    host.await_line("[x] Pause");
    host.await_line("(pack: paused)");
    host.click("[x] Pause");
    host.await_line("(pack: up to date)");

    host.click("[ ] Automatic updates");
    app.says("the settings changed and are in force");
    host.await_line("[x] Automatic updates");
    let settings = std::fs::read_to_string(place.path("config.toml")).unwrap();
    assert!(settings.contains("auto_apply = true"), "{settings}");

    host.click("[ ] Launch at login");
    app.says("launch at login is on");
    host.await_line("[x] Launch at login");
    let entry = place.path("home/.config/autostart/ModSync.desktop");
    let text = std::fs::read_to_string(&entry).unwrap();
    assert!(text.contains("modsync\" --at-login"), "{text}");
    host.click("[x] Launch at login");
    app.says("launch at login is off");
    host.await_line("[ ] Launch at login");
    assert!(!entry.exists());
}

#[test]
fn an_update_that_is_found_during_a_pause_is_shown_and_told() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let dunst = Dunst::start(&bus, &place.path(""), "Later");
    let mut host = TrayHost::start(&bus);
    let app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    host.click("[ ] Pause");
    host.await_line("(pack: paused)");
    host.await_line("Check for updates");

    place.publish(&origin, &V1[..1]);
    host.click("Check for updates");
    host.await_line("(pack: paused, update available)");
    dunst.wait_until_shown(1);
    host.click("Quit");
    app.end(LIMIT).exits(0);
    let history = dunst.history();
    let [(title, _)] = history.as_slice() else { panic!("{history:?}") };
    assert_eq!(title, "pack: an update is available");
}

#[test]
fn the_icon_appears_when_a_panel_comes() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut app = start(place.command(&[]), bus.address(), &place.path("home"));
    app.says("running");
    let mut host = TrayHost::start(&bus);
    host.await_icon();
    host.await_line("(pack: up to date)");
}

#[test]
fn without_a_bus_it_warns_once_and_goes_on() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let mut command = place.command(&[]);
    command.env("DISPLAY", ":0").env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    command.env("HOME", place.path("home"));
    let mut app = Running::start(command);
    app.says("could not show an icon in the tray");
    app.says("running");
    assert_eq!(place.ask(&["wait", "--until", "current", "--timeout", "60s"]).0, Some(0));
    app.sigterm();
    let ran = app.end(LIMIT);
    ran.exits(0);
    assert_eq!(ran.stderr.matches("WARN").count(), 1, "{}", ran.stderr);
}

#[test]
fn without_a_desktop_it_says_what_to_run_instead() {
    let place = Place::new();
    let app = start(place.command(&[]), "unix:path=/nowhere", &place.path("home"));
    app.end(LIMIT).exits(2).says("there is no desktop here").says("`modsync run`");
}

#[test]
fn a_bus_that_dies_does_not_take_the_engine_with_it() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let mut bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    bus.die();
    assert_eq!(place.ask(&["verify"]).0, Some(0));
    app.sigterm();
    app.end(LIMIT).exits(0);
}

#[test]
fn a_second_start_tells_the_first_to_show_itself() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let _app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    let second = start(place.command(&[]), bus.address(), &place.path("home"));
    second.end(LIMIT).exits(0).says("shows itself");
}
