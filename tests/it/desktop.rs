//! The desktop app, seen through a panel and a notification daemon.

pub mod bus;
mod panel;
pub mod screen;
mod tray_host;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::e2e::{next_pack, pack};
use crate::faulty::{Behaviour, Faulty};
use crate::place::Place;
use crate::toast::dunst::Dunst;
use crate::toast::service::{Asked, Manners, Service};
use crate::world::{LIMIT, Running, World, copy_program};

use modsync::ui::menu::Icon;

use bus::Bus;
use panel::Panel;
use screen::{GREEN, LEFT, RIGHT, Screen, count};
use tray_host::TrayHost;

/// The app on a session bus, with a home of its own. That there is a screen is all it knows of it.
fn start(mut command: Command, bus: &str, home: &std::path::Path) -> Running {
    command.env("DISPLAY", ":0");
    start_without_screen(command, bus, home)
}

fn start_without_screen(mut command: Command, bus: &str, home: &std::path::Path) -> Running {
    let others = ["WAYLAND_DISPLAY", "XDG_CONFIG_HOME", "APPIMAGE"];
    others.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("DBUS_SESSION_BUS_ADDRESS", bus).env("HOME", home);
    Running::start(command)
}

/// A player who quits waits no longer than this.
const QUICKLY: Duration = Duration::from_secs(3);

/// A picture as it goes over the bus: alpha first.
fn picture(icon: Icon) -> (i32, i32, Vec<u8>) {
    let mut picture = icon.picture().unwrap();
    picture.rgba.chunks_exact_mut(4).for_each(|pixel| pixel.rotate_right(1));
    (picture.width.cast_signed(), picture.height.cast_signed(), picture.rgba)
}

/// What makes a login start the app.
const ENTRY: &str = "home/.config/autostart/ModSync.desktop";
const V1: &[(&str, &[u8])] = &[("a.pak", b"one"), ("b.pak", b"two")];

#[test]
fn a_player_needs_nothing_but_the_menu() {
    let (bus, world) = (Bus::start(), World::with(&pack()));
    let mut host = TrayHost::start(&bus);
    let app = start(world.command(""), bus.address(), &world.at("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    host.await_tooltip("ModSync\npack: up to date");
    host.await_picture(&picture(Icon::Idle));

    let seeded = world.publish(&next_pack());
    // It cannot be chosen while the first check goes on.
    host.click("Check for updates");
    host.await_line("(pack: update available, ");
    host.await_picture(&picture(Icon::UpdateAvailable));
    let bytes = seeded.layout.needed(&pack(), &next_pack());
    assert!(bytes > 0);
    host.click("Update now (");
    host.await_line("(pack: up to date)");
    world.has(&next_pack());

    host.click("Undo last update");
    host.await_line("Update again");
    world.has(&pack());
    host.click("Quit");
    app.end(QUICKLY).exits(0).says("stopped");
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
    host.await_line("(pack: update available, ");
    host.await_line("Update now (");
    host.await_picture(&picture(Icon::UpdateAvailable));
    dunst.wait_until_shown(1);
    // With our own picture in it.
    dunst.screen().await_shot("notice", |shot| count(&shot.points, GREEN) > 200);
    dunst.choose();
    host.await_line("(pack: up to date)");
    host.await_picture(&picture(Icon::Idle));
    world.has(&next_pack());

    host.click("Quit");
    app.end(QUICKLY).exits(0).says("stopped");
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
    let entry = place.path(ENTRY);
    let text = std::fs::read_to_string(&entry).unwrap();
    assert!(text.contains("modsync\" --at-login"), "{text}");
    host.click("[x] Launch at login");
    app.says("launch at login is off");
    host.await_line("[ ] Launch at login");
    assert!(!entry.exists());
}

#[test]
fn a_program_that_was_moved_is_launched_at_login_from_where_it_is() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let entry = entry_of_former(&place, "");
    let mut app = start(place.command(&[]), bus.address(), &place.path("home"));
    app.says("launch at login was of another program and is of this one now");
    let [config, state] = ["config.toml", "state"].map(|name| place.path(name));
    let exec = format!(
        "Exec=\"{}\" --at-login --config \"{}\" --state \"{}\"",
        env!("CARGO_BIN_EXE_modsync"),
        config.display(),
        state.display()
    );
    let text = std::fs::read_to_string(&entry).unwrap();
    assert_eq!(text.lines().find(|line| line.starts_with("Exec=")), Some(&*exec));
    host.await_icon();
    host.await_line("[x] Launch at login");
}

#[test]
fn a_launch_at_login_that_the_user_switched_off_elsewhere_stays_off() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let entry = entry_of_former(&place, "Hidden=true\n");
    let before = std::fs::read_to_string(&entry).unwrap();
    let _app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    host.await_line("[ ] Launch at login");
    assert_eq!(std::fs::read_to_string(&entry).unwrap(), before);
}

#[test]
fn a_program_that_an_update_replaced_is_launched_at_login_by_the_name_it_had() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let program = place.path("modsync");
    copy_program(&program);
    let usual = place.command(&[]);
    let mut command = Command::new(&program);
    command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut app = start(command, bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    std::fs::remove_file(&program).unwrap();

    host.click("[ ] Launch at login");
    app.says("launch at login is on");
    let text = std::fs::read_to_string(place.path(ENTRY)).unwrap();
    assert!(text.contains(&format!("Exec=\"{}\" --at-login", program.display())), "{text}");
}

/// An entry for a login that starts the program from where it is no more.
fn entry_of_former(place: &Place, line: &str) -> PathBuf {
    let entry = place.path(ENTRY);
    std::fs::create_dir_all(entry.parent().unwrap()).unwrap();
    let former = "[Desktop Entry]\nType=Application\nExec=\"/former/modsync\" --at-login\n";
    std::fs::write(&entry, format!("{former}{line}")).unwrap();
    entry
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
    app.says("no panel shows icons here");
    app.says("running");
    let mut host = TrayHost::start(&bus);
    host.await_icon();
    host.await_line("(pack: up to date)");
}

/// As after a logout that left it running, and the next login.
#[test]
fn the_icon_comes_back_with_another_bus() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let folder = tempfile::tempdir().unwrap();
    let mut bus = Bus::start_in(folder.path());
    let mut host = TrayHost::start(&bus);
    let app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    bus.die();

    let bus = Bus::start_in(folder.path());
    let mut host = TrayHost::start(&bus);
    host.await_icon();
    host.await_line("(pack: up to date)");
    host.click("Quit");
    app.end(QUICKLY).exits(0).says("stopped");
}

#[test]
fn while_a_command_is_at_work_it_says_so_and_can_be_quit() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    place.follow(&origin.set("/pack.torrent", Behaviour::Stall(Vec::new())));
    let mut check = Running::start(place.command(&["check"]));
    check.says("checking");
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(Waiting: another ModSync command is at work)");
    host.click("Quit");
    app.end(QUICKLY).exits(0);

    let mut app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_new_icon();
    host.await_line("(Waiting: another ModSync command is at work)");
    check.sigterm();
    app.says("running");
    host.await_line("(pack: ");
}

#[test]
fn settings_with_a_mistake_are_shown_and_used_as_soon_as_they_are_mended() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let good = std::fs::read_to_string(place.path("config.toml")).unwrap();
    place.set("", "colour = \"green\"");
    let bus = Bus::start();
    let service = Service::start(&bus, Manners::default());
    let mut host = TrayHost::start(&bus);
    let mut app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    let menu = host.await_line("(could not use `");
    assert!(menu.contains("colour") && menu.contains("\nEdit settings"), "{menu}");
    host.await_picture(&picture(Icon::NeedsAttention));
    let notice = service.shown();
    assert_eq!(notice.title, "ModSync: the settings have a mistake");
    app.says("ERROR");

    std::fs::write(place.path("config.toml"), good).unwrap();
    host.await_line("(pack: up to date)");
    assert_eq!(service.asked(), Asked::Close(notice.id));
}

#[test]
fn without_a_bus_it_warns_once_and_goes_on() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let mut app = start(place.command(&[]), "unix:path=/nowhere", &place.path("home"));
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
    let (place, bus) = (Place::new(), Bus::start());
    for address in ["unix:path=/nowhere", bus.address()] {
        let app = start_without_screen(place.command(&[]), address, &place.path("home"));
        app.end(LIMIT).exits(2).says("there is no desktop here").says("`modsync run`");
    }
}

#[test]
fn a_bus_that_dies_does_not_take_the_engine_with_it() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let mut bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let mut app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    bus.die();
    app.says("notices cannot be shown: the session bus is gone, and they wait until it is back");
    assert_eq!(place.ask(&["verify"]).0, Some(0));
    app.sigterm();
    let ran = app.end(LIMIT);
    ran.exits(0);
    assert_eq!(ran.stderr.matches("WARN").count(), 1, "{}", ran.stderr);
}

#[test]
fn a_second_start_tells_the_first_to_show_itself() {
    let origin = Faulty::start();
    let place = Place::with_installed(&origin, V1);
    let bus = Bus::start();
    let mut host = TrayHost::start(&bus);
    let service = Service::start(&bus, Manners::default());
    let _app = start(place.command(&[]), bus.address(), &place.path("home"));
    host.await_icon();
    host.await_line("(pack: up to date)");
    let second = start(place.command(&[]), bus.address(), &place.path("home"));
    second.end(LIMIT).exits(0).says("shows itself");
    let notice = service.shown();
    assert_eq!((&*notice.title, &*notice.body), ("ModSync is running", "pack: up to date"));
}
