//! The program for Windows, under Wine: what makes Windows another system is shown here, and the story that
//! the native program is tested with, once more.

mod machine;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use self::machine::{Held, Wine};
use super::desktop::screen::{GREEN, LEFT, ORANGE, Point, RIGHT, Shot, count};
use super::e2e::{next_pack, pack};
use super::tree::{Tree, noise};
use super::world::{LIMIT, Ran, Running, World};

/// What `run.c` says before the code that a program ended with.
const ENDED: &str = "ended with ";

/// A player with Windows.
struct Player {
    world: World,
    wine: &'static Wine,
}

impl Player {
    fn new() -> Self {
        let (world, wine) = (World::new(), Wine::get());
        let folder = machine::windows_path(&world.pack());
        world.set("folder", &format!("{folder:?}"));
        Self { world, wine }
    }

    /// One in whose folder a release is installed.
    fn with(tree: &Tree) -> Self {
        let player = Self::new();
        player.world.publish(tree);
        player.modsync("sync").exits(0);
        player.world.has(tree);
        player
    }

    fn modsync(&self, arguments: &str) -> Ran {
        let mut running = self.spawn(arguments);
        for _output in 0..2 {
            running.says(ENDED);
        }
        let Ran { stdout, stderr, .. } = running.leave();
        let (stdout, code) = stdout.rsplit_once(ENDED).expect(&stdout);
        let (stderr, _) = stderr.rsplit_once(ENDED).expect(&stderr);
        let code = Some(code.trim_end().parse().unwrap());
        Ran { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
    }

    fn spawn(&self, arguments: &str) -> Running {
        let mut command = self.wine.modsync();
        command.args(arguments.split_whitespace());
        command.env("MODSYNC_LOG", "info,modsync=debug,librqbit=debug");
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Running {
        self.world.seeder.await_silence();
        command.env("MODSYNC_CONFIG", machine::windows_path(&self.world.at("config.toml")));
        command.env("MODSYNC_STATE", machine::windows_path(&self.world.at("state")));
        Running::start(command)
    }

    /// Waits until the app has ended as it should.
    fn await_end(&self) {
        let log = || fs::read_to_string(self.world.at("state/logs/modsync.log")).unwrap();
        let end = Instant::now() + LIMIT;
        while !log().lines().any(|line| line.ends_with(" stopped")) {
            assert!(Instant::now() < end, "{}", log());
            thread::sleep(Duration::from_millis(50));
        }
        // The lock is free.
        self.modsync("check").exits(0);
        assert!(!log().contains(" ERROR "), "{}", log());
    }

    /// Lets another program have a file of the pack open, as `hold.c` says.
    fn hold(&self, how: &str, path: &str) -> Held {
        self.wine.hold(how, &self.world.pack().join(path))
    }
}

/// A failure under Wine may not come again: its log is all there will be.
impl Drop for Player {
    fn drop(&mut self) {
        let log = || fs::read_to_string(self.world.at("state/logs/modsync.log"));
        if thread::panicking() {
            eprintln!("{}", log().unwrap_or_default());
        }
    }
}

#[test]
fn a_pack_is_installed_updated_verified_repaired_and_taken_back() {
    let (old, new) = (pack(), next_pack());
    let player = Player::new();
    let world = &player.world;
    let seeded = world.publish(&old);
    player.modsync("sync").exits(0).says("10 new");
    world.has(&old);
    assert_eq!(world.seeder.sent(&seeded), seeded.layout.sent_for_all());

    let seeded = world.publish(&new);
    player.modsync("check").exits(10).says("update available");
    player.modsync("sync").exits(0).says("2 new, 4 changed, 2 removed");
    world.has(&new);
    assert_eq!(world.seeder.sent(&seeded), seeded.layout.sent_for(&old, &new));
    assert!(!world.pack().join("maps/old").exists(), "an emptied folder stays");
    let before = world.stamps();
    player.modsync("sync").exits(0).says("up to date");
    player.modsync("verify").exits(0).says("all 10 files");
    assert_eq!(world.stamps(), before);

    new.clone().damaged("mods/core.pak").write(&world.pack());
    player.modsync("verify").exits(11).says("mods/core.pak");
    player.modsync("verify --repair").exits(0);
    world.has(&new);

    player.modsync("rollback").exits(0);
    world.has(&old);
    player.modsync("verify").exits(0);
}

#[test]
fn what_a_doubled_file_and_an_edited_one_have_in_common_with_old_ones_is_not_fetched() {
    let (edited, doubled) = (noise(4_001, 3 << 20), noise(4_002, 2 << 20));
    let old = Tree::default().with("edited.pak", edited).with("one.pak", doubled.clone());
    let player = Player::with(&old);
    let known = old.with("two.pak", doubled);
    let new = known.clone().damaged("edited.pak");
    let seeded = player.world.publish(&new);
    player.modsync("sync").exits(0).says("1 new, 1 changed");
    player.world.has(&new);
    assert_eq!(player.world.seeder.sent(&seeded), seeded.layout.sent_for(&known, &new));
}

#[test]
fn a_file_that_another_program_holds_open_makes_all_of_an_update_wait() {
    let (old, new) = (pack(), next_pack());
    let player = Player::with(&old);
    let world = &player.world;
    world.publish(&new);
    // The last of the changed files and the last of the removed ones: others come before each.
    for path in ["readme.txt", "shaders/wind.glsl"] {
        let held = player.hold("read", path);
        let refusal = format!("could not replace `{path}`: the file is in use");
        player.modsync("sync").exits(1).says(&refusal).says("Close the game");
        world.has(&old);
        assert!(!world.own("journal").exists(), "an apply was begun");
        player.modsync("verify").exits(0);
        drop(held);
    }
    player.modsync("sync").exits(0);
    world.has(&new);
}

#[test]
fn a_file_that_is_held_open_and_stays_is_no_hindrance() {
    let player = Player::with(&pack());
    player.world.publish(&next_pack());
    let _held = player.hold("read", "mods/extra/lights.pak");
    player.modsync("verify").exits(0);
    player.modsync("sync").exits(0);
    player.world.has(&next_pack());
}

#[test]
fn a_file_that_nobody_else_may_read_is_not_called_damaged() {
    let player = Player::with(&pack());
    let held = player.hold("alone", "mods/core.pak");
    for command in ["verify", "verify --repair"] {
        player.modsync(command).exits(1).says("core.pak`: the file is in use");
    }
    drop(held);
    player.modsync("verify").exits(0);
}

/// As a virus scanner has it.
#[test]
fn a_file_that_is_open_for_a_moment_is_waited_for() {
    let player = Player::with(&pack());
    player.world.publish(&next_pack());
    let _scanners = ["maps/castle.map", "mods/core.pak", "readme.txt"]
        .map(|path| player.hold("now-and-then", path));
    player.modsync("sync").exits(0);
    player.world.has(&next_pack());
    player.modsync("rollback").exits(0);
    player.world.has(&pack());
}

/// Longer paths than 260 characters are no test: Wine 8 cannot say where a folder so deep lies.
#[test]
fn names_with_spaces_and_of_every_language_are_names_like_others() {
    let deep = format!("{}deep file.dat", "a folder with a long name/".repeat(5));
    let names = ["mit Umlaut ä.pak", "кириллица/карта 1.map", "日本語/地図.map", "emoji 🎮.pak"];
    let old = names
        .iter()
        .chain([&&*deep])
        .zip(1..)
        .fold(Tree::default(), |tree, (name, seed)| tree.with(name, noise(seed, 40_000)));
    let player = Player::with(&old);
    let new = old.clone().damaged(names[1]).damaged(&deep).without(names[2]);
    player.world.publish(&new);
    player.modsync("sync").exits(0).says("2 changed, 1 removed");
    player.world.has(&new);
    player.modsync("verify").exits(0);
    player.modsync("rollback").exits(0);
    player.world.has(&old);
}

#[test]
fn names_that_differ_in_case_alone_are_one_file() {
    let old = Tree::of(&[("Mods/Core.pak", 90_000), ("Mods/lights.pak", 50_000), ("a.txt", 500)]);
    let player = Player::with(&old);
    let world = &player.world;
    // The next release writes its names in another way, and changes one of these files.
    let new = Tree::default()
        .with("mods/core.PAK", old.clone().damaged("Mods/Core.pak").bytes("Mods/Core.pak"))
        .with("mods/LIGHTS.pak", old.bytes("Mods/lights.pak"))
        .with("a.txt", old.bytes("a.txt"));
    world.publish(&new);
    player.modsync("sync").exits(0);
    assert_eq!(in_small_letters(&world.tree()), in_small_letters(&new));
    player.modsync("verify").exits(0);
    player.modsync("check").exits(0);
    player.modsync("rollback").exits(0);
    assert_eq!(in_small_letters(&world.tree()), in_small_letters(&old));
}

#[test]
fn a_file_of_the_player_with_the_name_in_another_case_goes_to_the_trash() {
    let player = Player::new();
    let mine = noise(7, 300);
    Tree::default().with("README.TXT", mine.clone()).write(&player.world.pack());
    player.world.publish(&pack());
    player.modsync("sync").exits(0);
    assert_eq!(in_small_letters(&player.world.tree()), in_small_letters(&pack()));
    assert!(player.world.trash_has(&mine), "a file of the player is lost");
}

#[test]
fn a_folder_can_become_a_file_and_a_file_a_folder() {
    let old = pack();
    let new = old
        .clone()
        .without("maps/castle.map")
        .without("maps/old/harbour.map")
        .without("readme.txt")
        .with("maps", noise(20, 9_000))
        .with("readme.txt/readme.txt", noise(21, 9_000));
    let player = Player::with(&old);
    player.world.publish(&new);
    player.modsync("sync").exits(0);
    player.world.has(&new);
    player.modsync("rollback").exits(0);
    player.world.has(&old);
}

#[test]
fn a_running_engine_is_asked_by_the_other_commands_and_installs_an_update() {
    let (old, new) = (pack(), next_pack());
    let player = Player::with(&old);
    let mut engine = player.spawn("run");
    // The first look at the origin is over, and the next is far.
    engine.says(" checking ");
    engine.says(" current ");
    player.modsync("status").exits(0).says("current");
    player.world.publish(&new);
    player.modsync("sync").exits(0).says("2 new, 4 changed, 2 removed");
    engine.says("applying");
    player.world.has(&new);
    player.modsync("verify").exits(0);
}

#[test]
fn a_player_needs_nothing_but_the_mouse() {
    let player = Player::with(&pack());
    player.world.publish(&next_pack());
    let desktop = player.wine.desktop();
    let (world, screen) = (&player.world, desktop.screen());
    let _app = player.start(desktop.modsyncw());
    let before = screen.await_shot("windows-update", shows(ORANGE));
    // What the notices show beside our name.
    let registered = player.wine.registry(r"Classes\AppUserModelId\ModSync");
    assert!(
        registered.contains(&machine::windows_path(&world.at("state/icon.png"))),
        "{registered}"
    );
    screen.click(before.first(ORANGE), RIGHT);
    let menu = screen.await_shot("windows-menu", |shot| shot.changed_from(&before).is_a_menu());
    let menu = menu.changed_from(&before);
    screen.click((menu.middle(), menu.top + 71), LEFT);
    let before = screen.await_shot("windows-current", shows(GREEN));
    world.has(&next_pack());

    screen.click(before.first(GREEN), RIGHT);
    screen.await_shot("windows-menu", |shot| shot.changed_from(&before).is_a_menu());
    screen.click((menu.middle(), menu.bottom - 12), LEFT);
    player.await_end();
}

#[test]
fn a_logout_finds_everything_in_order() {
    let player = Player::with(&pack());
    let desktop = player.wine.desktop();
    let _app = player.start(desktop.modsyncw());
    desktop.screen().await_shot("windows-idle", shows(GREEN));
    let _logout = desktop.log_out();
    player.await_end();
    player.modsync("verify").exits(0);
}

#[test]
fn a_login_starts_the_program_without_a_console() {
    let player = Player::new();
    let entry = || player.wine.registry(r"Microsoft\Windows\CurrentVersion\Run");
    player.modsync("autostart status").says("off");
    player.modsync("autostart on").exits(0);
    player.modsync("autostart status").says("on");
    let state = machine::windows_path(&player.world.at("state"));
    let line = entry();
    assert!(line.contains(r#"modsyncw.exe" --at-login --config ""#), "{line}");
    assert!(line.contains(&format!("--state \"{state}\"")), "{line}");
    player.modsync("autostart off").exits(0);
    assert!(!entry().contains("modsync"), "{}", entry());
}

#[test]
fn the_demo_tells_its_story_to_the_end() {
    let player = Player::new();
    player.modsync("demo").exits(0).says("byte for byte, what the admin published");
}

/// Whether an icon of this colour is there.
fn shows(colour: Point) -> impl Fn(&Shot) -> bool {
    move |shot| count(&shot.points, colour) > 50
}

/// The files as a system sees them that takes `A` for `a`.
fn in_small_letters(tree: &Tree) -> Tree {
    Tree(tree.0.iter().map(|(path, bytes)| (path.to_lowercase(), bytes.clone())).collect())
}
