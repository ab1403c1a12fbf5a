//! `modsync run`: it follows the origin, takes up settings, gives to others, and ends when it is told to.

use std::fs;
use std::time::{Duration, Instant};

use super::{Tree, World, next_pack, noise, pack};
use crate::control::ask;
use crate::transmission::free_address;
use crate::world::{LIMIT, Running};

/// How long a running engine may take to end.
const GRACE: Duration = Duration::from_secs(3);

#[track_caller]
fn ends_in_time(engine: Running) {
    let start = Instant::now();
    engine.sigterm();
    engine.end(LIMIT).exits(0).says("stopped");
    assert!(start.elapsed() < GRACE, "it took {:?}", start.elapsed());
}

fn phase(status: &serde_json::Value) -> &str {
    status["phase"]["phase"].as_str().unwrap_or_default()
}

#[test]
fn it_notices_an_update_and_applies_it_by_itself() {
    let world = World::new();
    world.set("auto_apply", "true");
    world.set("check_interval", "\"10s\"");
    world.publish(&pack());
    let engine = world.follow();
    world.await_status("installed", |status| {
        phase(status) == "current" && !status["installed"].is_null()
    });
    world.has(&pack());

    let seeded = world.publish(&next_pack());
    let status = world.await_status("updated", |status| {
        status["installed"]["info_hash"] == seeded.info_hash.as_str() && phase(status) == "current"
    });
    world.has(&next_pack());
    assert_eq!(status["last_apply"]["changed"], 4);
    assert_eq!(status["offered"], serde_json::Value::Null);
    assert!(world.origin.take_log().iter().skip(1).all(|request| request.conditional));
    ends_in_time(engine);
}

#[test]
fn without_being_asked_to_apply_it_shows_what_an_update_would_do_and_remembers_it() {
    let (old, new) = (pack(), next_pack());
    let world = World::with(&old);
    let seeded = world.publish(&new);
    let engine = world.follow();
    let is_shown = |status: &serde_json::Value| {
        phase(status) == "update_available" && !status["phase"]["summary"].is_null()
    };
    let status = world.await_status("an update", is_shown);
    assert_eq!(status["phase"]["summary"]["download_bytes"], seeded.layout.needed(&old, &new));
    world.modsync("run").exits(1).says("another ModSync is running");
    world.modsync("wait --until current --timeout 1s").exits(1).says("update available: ");
    world.modsync("check").exits(10).says("update available");
    ends_in_time(engine);
    world.has(&old);

    let status = world.status();
    assert!(is_shown(&status), "forgotten after a restart: {status:#}");
    world.modsync("status").exits(0).says("`modsync apply pack` applies it");
    world.modsync("apply").exits(0);
    world.has(&new);
}

#[test]
fn what_is_held_back_or_damaged_is_told_until_it_is_mended() {
    let world = World::with(&pack());
    world.publish(&next_pack());
    world.modsync("sync").exits(0);
    world.modsync("rollback").exits(0);
    world.modsync("sync").exits(0).says("up to date with the release you went back to");
    world.modsync("apply").exits(0);
    world.modsync("sync").exits(0).says("up to date\n");

    let installed = next_pack();
    fs::write(world.pack().join(installed.0.keys().next().unwrap()), "damaged").unwrap();
    world.modsync("verify").exits(11);
    world.modsync("status").exits(0).says("ago: 1 file not as installed");
    world.modsync("verify --repair").exits(0);
    let status = world.modsync("status");
    assert!(!status.exits(0).stdout.contains("not as installed"), "{}", status.stdout);
    world.has(&installed);
}

#[test]
fn an_origin_that_flips_between_two_releases_causes_no_apply_loop() {
    let (one, other) = (pack(), next_pack());
    let world = World::new();
    world.set("auto_apply", "true");
    world.set("seed", "false");
    let (torrent, _) = world.prepare(&one);
    let (flipped, seeded) = world.prepare(&other);
    world.origin.publish(torrent.clone());
    let engine = world.follow();
    let is_settled = |status: &serde_json::Value| match phase(status) {
        "current" => !status["installed"].is_null(),
        "update_available" => !status["phase"]["summary"].is_null(),
        _ => false,
    };
    let mut installed = vec![world.await_status("installed", is_settled)["installed"].clone()];
    let mut sent = 0;
    for round in 0..10 {
        world.origin.publish(if round % 2 == 0 { flipped.clone() } else { torrent.clone() });
        world.modsync("check");
        installed.push(world.await_status("settled", is_settled)["installed"].clone());
        if round == 2 {
            sent = world.seeder.sent(&seeded);
        }
    }
    let changes = installed.windows(2).map(|two| two[0] != two[1]).collect::<Vec<_>>();
    assert_eq!(changes, [true, true, true, false, false, false, false, false, false, false]);
    assert_eq!(world.seeder.sent(&seeded), sent);
    world.has(&other);

    world.modsync("apply").exits(0);
    world.has(&one);
    assert!(engine.sigkill().stderr.contains("the origin goes back and forth"));
}

#[test]
fn sigterm_ends_a_fetch_in_time_and_the_next_start_goes_on() {
    let (old, new) = (pack(), pack().with("maps/big.map", noise(2, 2_000_000)));
    let world = World::with(&old);
    world.set("auto_apply", "true");
    let seeded = world.publish(&new);
    world.seeder.limit_upload(Some(300));
    let engine = world.follow();
    world.await_status("far enough", |status| {
        let progress = &status["phase"]["progress"];
        phase(status) == "fetching" && progress["done"].as_u64() > Some(500_000)
    });
    ends_in_time(engine);
    world.has(&old);

    world.seeder.limit_upload(None);
    let engine = world.follow();
    world.await_status("installed", |status| {
        status["installed"]["info_hash"] == seeded.info_hash.as_str()
    });
    world.has(&new);
    let again = world.seeder.sent(&seeded) - seeded.layout.sent_for(&old, &new);
    assert!(again <= 65_536, "{again} bytes were sent twice");
    ends_in_time(engine);
}

#[test]
fn sigterm_in_the_middle_of_an_apply_ends_in_time_and_leaves_no_mixture() {
    let many = |seed: u64| {
        (0..400).fold(Tree::default(), |tree, n| {
            tree.with(&format!("{n:03}.dat"), noise(seed + n, 500))
        })
    };
    let (old, new) = (many(0), many(1_000));
    let world = World::with(&old);
    world.set("auto_apply", "true");
    world.publish(&new);
    let mut engine = world.follow();
    engine.says("applying");
    ends_in_time(engine);
    let now = world.tree();
    for (path, bytes) in &now.0 {
        assert!(old.bytes(path) == bytes || new.bytes(path) == bytes, "`{path}` is a mixture");
    }
    assert_eq!(now.0.len(), 400);
    world.modsync("sync").exits(0);
    world.has(&new);
}

#[test]
fn it_takes_up_changed_settings_and_a_broken_edit_keeps_the_old_ones() {
    let world = World::with(&pack());
    let engine = world.follow();
    world.await_status("seeding", |status| !status["seeding"].is_null());

    world.origin.await_requests(1, LIMIT);
    world.origin.take_log();
    world.set("check_interval", "\"10s\"");
    world.origin.await_requests(1, Duration::from_secs(14));

    world.set("seed", "false");
    world.await_status("no longer seeding", |status| status["seeding"].is_null());

    world.write_settings("auto_aply = true");
    let end = Instant::now() + LIMIT;
    let fault = loop {
        let snapshot = world.modsync("status --json").exits(0).json();
        if !snapshot["config_fault"].is_null() {
            break snapshot["config_fault"]["what"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < end, "a broken edit is not noticed");
    };
    let text = fs::read_to_string(world.at("config.toml")).unwrap();
    let line = text.lines().position(|line| line.contains("auto_aply")).unwrap() + 1;
    assert!(fault.contains("auto_aply") && fault.contains(&format!("line {line}")), "{fault}");
    assert!(world.status()["seeding"].is_null(), "a broken edit changed something");
    world.modsync("status").exits(0).says("auto_aply");

    world.set("seed", "true");
    world.await_status("seeding again", |status| !status["seeding"].is_null());
    assert!(world.modsync("status --json").json()["config_fault"].is_null());
    ends_in_time(engine);
}

#[test]
fn a_limit_that_is_lifted_is_lifted_for_what_is_under_way_as_well() {
    let world = World::new();
    let tree = Tree::default().with("big.map", noise(8_001, 12 << 20));
    world.publish(&tree);
    world.set("auto_apply", "false");
    let unlimited = fs::read_to_string(world.at("config.toml")).unwrap();
    let write = |text: String| {
        fs::write(world.at("config.new"), text).unwrap();
        fs::rename(world.at("config.new"), world.at("config.toml")).unwrap();
    };
    write(format!("download_limit = \"64 KiB/s\"\n{unlimited}"));
    let engine = world.follow();
    let sync = world.spawn("sync");
    world.await_status("fetching", |status| {
        status["phase"]["progress"]["done"].as_u64().unwrap_or_default() > 0
    });
    write(unlimited);
    // At that rate it would take three minutes.
    sync.end(LIMIT).exits(0);
    world.has(&tree);
    ends_in_time(engine);
}

#[test]
fn it_listens_at_the_port_that_it_was_given_after_other_settings_of_the_network_changed() {
    let world = World::new();
    let port = free_address().port();
    world.set_network("listen_port", &port.to_string());
    world.publish(&pack());
    let engine = world.follow();
    world.modsync("sync").exits(0);
    for trackers in ["[\"http://127.0.0.1:1/a\"]", "[\"http://127.0.0.1:1/b\"]", "false"] {
        world.await_status("seeding", |status| !status["seeding"].is_null());
        world.set_network("trackers", trackers);
        let (status, _) = ask(&world.at("state"), "POST /v1/reload", &[], "{}");
        assert_eq!(status, 200);
    }
    world.await_status("seeding", |status| !status["seeding"].is_null());
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    ends_in_time(engine);
}

#[test]
fn other_players_can_fetch_from_it() {
    let first = World::new();
    let port = free_address().port();
    first.set_network("listen_port", &port.to_string());
    let seeded = first.publish(&pack());
    first.modsync("sync").exits(0);
    let engine = first.follow();
    first.await_status("seeding", |status| !status["seeding"].is_null());
    let sent = first.seeder.sent(&seeded);

    let second = World::new();
    second.set("url", &format!("{:?}", first.origin.url()));
    second.set("peers", &format!("[\"127.0.0.1:{port}\"]"));
    second.modsync("sync").exits(0);

    second.has(&pack());
    let total: u64 = seeded.layout.files.iter().map(|(_, length)| length).sum();
    first.await_status("uploaded", |status| {
        status["seeding"]["uploaded_bytes"].as_u64() >= Some(total)
    });
    assert_eq!(first.seeder.sent(&seeded), sent);
    ends_in_time(engine);
}

#[test]
fn a_pause_lasts_until_it_is_resumed() {
    let world = World::with(&pack());
    world.set("auto_apply", "true");
    world.modsync("pause").exits(0);
    world.publish(&next_pack());
    let engine = world.follow();
    world.await_status("paused", |status| phase(status) == "paused");
    ends_in_time(engine);
    world.has(&pack());

    world.modsync("resume").exits(0);
    let engine = world.follow();
    world.await_status("updated", |status| {
        phase(status) == "current" && status["last_apply"]["changed"] == 4
    });
    world.has(&next_pack());
    ends_in_time(engine);
}

/// The settings of a world with a second folder that follows the same URL.
fn with_a_second_folder(world: &World, seeds: bool) {
    world.write_settings(&format!(
        "seed = {seeds}\nauto_apply = true\n\
         [[pack]]\nurl = {:?}\nfolder = '{}'\nauto_apply = true\npeers = [{:?}]",
        world.origin.url(),
        world.at("player/second").display(),
        world.seeder.peer()
    ));
}

fn packs(world: &World) -> Vec<serde_json::Value> {
    let snapshot = world.modsync("status --json").exits(0).json();
    snapshot["packs"].as_array().unwrap().clone()
}

#[track_caller]
fn await_packs(world: &World, what: &str, is_so: impl Fn(&[serde_json::Value]) -> bool) {
    let end = Instant::now() + LIMIT;
    loop {
        let packs = packs(world);
        if is_so(&packs) {
            return;
        }
        assert!(Instant::now() < end, "never {what}: {packs:#?}");
    }
}

fn are_current(packs: &[serde_json::Value], info_hash: &str) -> bool {
    let is_current = |pack: &serde_json::Value| {
        phase(pack) == "current" && pack["installed"]["info_hash"] == info_hash
    };
    packs.len() == 2 && packs.iter().all(is_current)
}

#[test]
fn two_folders_that_follow_one_url_both_become_current() {
    let world = World::new();
    with_a_second_folder(&world, true);
    let seeded = world.publish(&pack());
    // Slow enough that both want to fetch at once.
    world.seeder.limit_upload(Some(600));
    let engine = world.follow();
    await_packs(&world, "installed", |packs| are_current(packs, &seeded.info_hash));
    world.has(&pack());
    assert_eq!(Tree::read(&world.at("player/second")), pack());
    ends_in_time(engine);
}

#[test]
fn a_second_folder_takes_what_the_first_has_and_seeds_when_that_one_stops() {
    let world = World::with(&pack());
    let engine = world.follow();
    world.await_status("seeding", |status| !status["seeding"].is_null());
    let info_hash = world.status()["installed"]["info_hash"].as_str().unwrap().to_owned();

    with_a_second_folder(&world, true);
    await_packs(&world, "both current", |packs| are_current(packs, &info_hash));
    assert_eq!(Tree::read(&world.at("player/second")), pack());
    assert_eq!(packs(&world)[1]["last_apply"]["downloaded_bytes"], 0);
    let seeding = |packs: &[serde_json::Value]| {
        packs.iter().map(|pack| !pack["seeding"].is_null()).collect::<Vec<_>>()
    };
    await_packs(&world, "one seeding", |packs| seeding(packs) == [true, false]);

    with_a_second_folder(&world, false);
    await_packs(&world, "the other seeding", |packs| seeding(packs) == [false, true]);
    ends_in_time(engine);
}
