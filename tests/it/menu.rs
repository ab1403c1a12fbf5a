//! The menu as a value: what it says and offers in each state.

use std::fmt::Write;

use modsync::model::fault::{Fault, FaultKind};
use modsync::model::snapshot::{PackView, Phase, Progress, Removed, Snapshot, Unit};
use modsync::ui::menu::{Icon, Item, Menu, menu, waiting as waiting_menu};

use crate::views::{
    asked, fault, in_phase, offered, pack, progress, release, snapshot, verdict, waiting,
};

#[test]
fn a_pack_that_is_up_to_date() {
    let text = text(&menu(&snapshot(&[pack("p")]), Some(true)));
    assert_eq!(
        text,
        r#"
Idle: ModSync / p: up to date
  p: up to date
  Pack (01010101) · 1.5 GB
  --
  Check for updates = Ask("p", Check)
  (Update now) = Ask("p", Apply { approve: None })
  Verify files = Ask("p", Verify { repair: false })
  (Repair) = Ask("p", Verify { repair: true })
  (Remove extra files…) = Ask("p", Clean { dry_run: false })
  (Put removed files back) = Ask("p", Restore { entry: "" })
  (Undo last update) = Ask("p", Rollback)
  Open folder = OpenFolder("p")
  [ ] Pause = Ask("p", Pause)
  --
  [ ] Automatic updates = AutomaticUpdates(true)
  [x] Launch at login = LaunchAtLogin(false)
  Edit settings = EditSettings
  Show log = ShowLog
  --
  Quit = Quit
"#
    );
}

#[test]
fn a_pack_with_all_there_can_be_to_do() {
    let pack = PackView {
        last_verify: Some(verdict(3)),
        extras: Some(7),
        can_go_back: true,
        removed: Some(Removed { entry: "e".to_owned(), files: 3 }),
        auto_apply: true,
        paused: true,
        ..offered("p")
    };
    assert_eq!(
        text(&menu(&snapshot(&[pack]), None)),
        r#"
UpdateAvailable: ModSync / p: update available, 412 MB
  p: update available, 412 MB
  Pack (01010101) · 1.5 GB
  --
  Check for updates = Ask("p", Check)
  Update now (412 MB) = Ask("p", Apply { approve: None })
  Verify files = Ask("p", Verify { repair: false })
  Repair (3 MB) = Ask("p", Verify { repair: true })
  Remove extra files (7)… = Ask("p", Clean { dry_run: false })
  Put back 3 files = Ask("p", Restore { entry: "e" })
  Undo last update = Ask("p", Rollback)
  Open folder = OpenFolder("p")
  [x] Pause = Ask("p", Resume)
  --
  [x] Automatic updates = AutomaticUpdates(false)
  Edit settings = EditSettings
  Show log = ShowLog
  --
  Quit = Quit
"#
    );
}

#[test]
fn a_person_who_must_decide_approves_exactly_the_plan_that_was_asked_about() {
    assert_eq!(
        text(&menu(&snapshot(&[asked("p")]), None)),
        r#"
NeedsAttention: ModSync / p: the new release removes 812 of 900 files
  p: the new release removes 812 of 900 files
  Pack (01010101) · 1.5 GB
  --
  Check for updates = Ask("p", Check)
  Remove 812 files and update = Ask("p", Apply { approve: Plan("plan-7") })
  Verify files = Ask("p", Verify { repair: false })
  (Repair) = Ask("p", Verify { repair: true })
  (Remove extra files…) = Ask("p", Clean { dry_run: false })
  (Put removed files back) = Ask("p", Restore { entry: "" })
  (Undo last update) = Ask("p", Rollback)
  Open folder = OpenFolder("p")
  [ ] Pause = Ask("p", Pause)
  --
  [ ] Automatic updates = AutomaticUpdates(true)
  Edit settings = EditSettings
  Show log = ShowLog
  --
  Quit = Quit
"#
    );
    let unrelated = PackView { summary: None, ..asked("p") };
    assert!(brief(&unrelated).contains("Update all the same"), "{}", brief(&unrelated));
}

#[test]
fn what_was_found_damaged_is_not_called_up_to_date() {
    let damaged = |problems| PackView { last_verify: Some(verdict(problems)), ..pack("p") };
    for (problems, begins) in [
        (0, "Idle: up to date"),
        (1, "NeedsAttention: 1 file is not right"),
        (2, "NeedsAttention: 2 files are not right"),
    ] {
        let shown = brief(&damaged(problems));
        assert!(shown.starts_with(begins), "{shown}");
        assert_eq!(shown.contains("Repair"), problems > 0, "{shown}");
    }
}

#[test]
fn several_packs_have_a_submenu_each_and_what_holds_for_all_stands_below() {
    let packs = [
        PackView { paused: true, phase: Phase::Paused, ..pack("a") },
        PackView { paused: true, ..waiting("b", FaultKind::DiskFull, "the disk is full") },
    ];
    let menu = menu(&snapshot(&packs), None);
    assert_eq!(
        text(&menu),
        r#"
NeedsAttention: ModSync / a: paused / b: the disk is full
  a: paused >
    a: paused
    Pack (01010101) · 1.5 GB
    --
    Check for updates = Ask("a", Check)
    (Update now) = Ask("a", Apply { approve: None })
    Verify files = Ask("a", Verify { repair: false })
    (Repair) = Ask("a", Verify { repair: true })
    (Remove extra files…) = Ask("a", Clean { dry_run: false })
    (Put removed files back) = Ask("a", Restore { entry: "" })
    (Undo last update) = Ask("a", Rollback)
    Open folder = OpenFolder("a")
    [x] Pause = Ask("a", Resume)
  b: the disk is full >
    b: the disk is full
    Pack (01010101) · 1.5 GB
    Do this.
    --
    Check for updates = Ask("b", Check)
    (Update now) = Ask("b", Apply { approve: None })
    Verify files = Ask("b", Verify { repair: false })
    (Repair) = Ask("b", Verify { repair: true })
    (Remove extra files…) = Ask("b", Clean { dry_run: false })
    (Put removed files back) = Ask("b", Restore { entry: "" })
    (Undo last update) = Ask("b", Rollback)
    Open folder = OpenFolder("b")
    [x] Pause = Ask("b", Resume)
  --
  Check all = CheckAll
  [x] Pause all = PauseAll(false)
  [ ] Automatic updates = AutomaticUpdates(true)
  Edit settings = EditSettings
  Show log = ShowLog
  --
  Quit = Quit
"#
    );
}

#[test]
fn without_packs_the_menu_says_how_to_begin() {
    let nothing = Snapshot::default();
    assert_eq!(
        text(&menu(&nothing, None)),
        "
Idle: ModSync / no packs yet
  No packs yet: add one with `modsync add URL FOLDER`
  --
  ([ ] Automatic updates) = AutomaticUpdates(true)
  Edit settings = EditSettings
  Show log = ShowLog
  --
  Quit = Quit
"
    );
}

#[test]
fn a_mistake_in_the_settings_stands_above_all_else() {
    let mistake = Some(Fault::new(FaultKind::Refused, "line 3: unknown key `url1`", ""));
    let at_the_start = Snapshot { config_fault: mistake.clone(), ..Snapshot::default() };
    assert_eq!(
        text(&menu(&at_the_start, None)),
        "
NeedsAttention: ModSync / the settings have a mistake
  line 3: unknown key `url1`
  --
  ([ ] Automatic updates) = AutomaticUpdates(true)
  Edit settings = EditSettings
  Show log = ShowLog
  --
  Quit = Quit
"
    );
    let later = Snapshot { config_fault: mistake, ..snapshot(&[pack("p")]) };
    let text = text(&menu(&later, None));
    let head = "
NeedsAttention: ModSync / the settings have a mistake / p: up to date
  line 3: unknown key `url1`
  Until it is mended, the former settings hold
  p: up to date
";
    assert_eq!(&text[..head.len()], head);
}

#[test]
fn without_an_engine_the_menu_says_what_is_waited_for() {
    for (why, line) in [(None, "starting"), (Some("of a command"), "waiting: of a command")] {
        let shown = text(&waiting_menu(why, Some(false)));
        let capital = line[..1].to_uppercase() + &line[1..];
        let wanted = format!(
            "
Idle: ModSync / {line}
  {capital}
  --
  ([ ] Automatic updates) = AutomaticUpdates(true)
  [ ] Launch at login = LaunchAtLogin(true)
  Edit settings = EditSettings
  Show log = ShowLog
  --
  Quit = Quit
"
        );
        assert_eq!(shown, wanted);
    }
}

#[test]
fn a_folder_that_is_not_there_cannot_be_opened() {
    let fresh = PackView { installed: None, ..pack("p") };
    let gone = waiting("p", FaultKind::FolderGone, "the folder is not there");
    let full = waiting("p", FaultKind::DiskFull, "the disk is full");
    let can_be_opened = |pack: &PackView| {
        let menu = menu(&snapshot(std::slice::from_ref(pack)), None);
        menu.items.iter().find(|item| label(item) == Some("Open folder")).map(is_enabled)
    };
    assert_eq!(
        [fresh, gone, full].map(|pack| can_be_opened(&pack)),
        [Some(false), Some(false), Some(true)]
    );
}

#[test]
fn each_state_has_its_words_its_icon_and_what_can_be_done_then() {
    let steps = Progress { done: 1, total: 4, unit: Unit::Steps, rate: 1, ..Progress::default() };
    let unknown = Progress::default();
    let all = "Check for updates, Verify files, Open folder, Pause";
    let busy = "Open folder, Pause";
    let states = [
        (in_phase(Phase::Starting), "Idle: starting", busy),
        (in_phase(Phase::Current), "Idle: up to date", all),
        (
            PackView { installed: None, ..in_phase(Phase::Current) },
            "Idle: nothing installed yet",
            "Check for updates, Pause",
        ),
        (
            PackView { held: true, phase: Phase::Current, ..offered("p") },
            "Idle: the update before is back",
            "Check for updates, Update again (412 MB), Verify files, Open folder, Pause",
        ),
        (
            offered("p"),
            "UpdateAvailable: update available, 412 MB",
            "Check for updates, Update now (412 MB), Verify files, Open folder, Pause",
        ),
        (
            PackView {
                offered: Some(release(2)),
                ..in_phase(Phase::UpdateAvailable { summary: None })
            },
            "UpdateAvailable: update available",
            "Check for updates, Update now, Verify files, Open folder, Pause",
        ),
        (
            PackView { extras: None, ..in_phase(Phase::Current) },
            "Idle: up to date",
            "Check for updates, Verify files, Remove extra files…, Open folder, Pause",
        ),
        (in_phase(Phase::Checking), "Idle: checking for updates", busy),
        (
            PackView { phase: Phase::Checking, ..offered("p") },
            "UpdateAvailable: checking for updates",
            busy,
        ),
        (
            PackView { paused: true, ..in_phase(Phase::Checking) },
            "Paused: checking for updates",
            busy,
        ),
        (in_phase(Phase::Scanning { progress: unknown }), "Working(0): looking at the files", busy),
        (
            in_phase(Phase::Fetching { progress: progress(42) }),
            "Working(3): downloading 42 %, 5 MB/s, 1m 56s left",
            busy,
        ),
        (
            in_phase(Phase::Applying { progress: steps.with_eta() }),
            "Working(2): updating 25 %, 3s left",
            busy,
        ),
        (
            in_phase(Phase::Verifying { progress: progress(100) }),
            "Working(8): verifying 100 %, 5 MB/s",
            busy,
        ),
        (
            waiting("p", FaultKind::OriginUnreachable, "the origin does not answer"),
            "Idle: the origin does not answer",
            all,
        ),
        (
            waiting("p", FaultKind::FolderGone, "the folder is gone"),
            "NeedsAttention: the folder is gone",
            "Check for updates, Verify files, Pause",
        ),
        (PackView { paused: true, ..in_phase(Phase::Paused) }, "Paused: paused", all),
    ];
    for (pack, says, offers) in states {
        assert_eq!(brief(&pack), format!("{says} | {offers}"));
    }
}

#[test]
fn a_paused_pack_says_that_an_update_waits_unless_the_user_went_back_from_it() {
    let paused = PackView { paused: true, phase: Phase::Paused, ..offered("p") };
    assert_eq!(
        brief(&paused),
        "Paused: paused, update available | Check for updates, Update now (412 MB), \
         Verify files, Open folder, Pause"
    );
    assert_eq!(
        brief(&PackView { held: true, ..paused }),
        "Paused: paused | Check for updates, Update again (412 MB), Verify files, Open folder, \
         Pause"
    );
}

#[test]
fn the_icon_of_all_is_that_of_the_pack_that_needs_the_user_most() {
    let icon = |packs: &[PackView]| menu(&snapshot(packs), None).icon;
    let idle = in_phase(Phase::Current);
    let paused = in_phase(Phase::Paused);
    let working = in_phase(Phase::Fetching { progress: progress(50) });
    let mut packs = vec![idle];
    for (pack, wanted) in [
        (paused, Icon::Paused),
        (offered("u"), Icon::UpdateAvailable),
        (working, Icon::Working(4)),
        (asked("q"), Icon::NeedsAttention),
    ] {
        packs.insert(0, pack);
        assert_eq!(icon(&packs), wanted);
    }
}

#[test]
fn the_tooltip_fits_on_windows_whatever_the_packs_are_called() {
    let names = ["🦀".repeat(80), "a".repeat(300), "e\u{301}".repeat(100), "ab🦀".repeat(40)];
    for name in &names {
        for count in 1..=4 {
            let packs = vec![pack(name); count];
            let tooltip = menu(&snapshot(&packs), None).tooltip;
            let units = tooltip.encode_utf16().count();
            assert!((126..=127).contains(&units), "{units} units: {tooltip}");
            assert!(tooltip.ends_with('…'), "{tooltip}");
        }
    }
    // One unit less than too long.
    let name = "a".repeat(127 - "ModSync\n: up to date".len());
    let tooltip = menu(&snapshot(&[pack(&name)]), None).tooltip;
    assert_eq!(tooltip, format!("ModSync\n{name}: up to date"));
}

#[test]
fn foreign_words_are_in_the_value_as_they_are() {
    let name = "R&D <b>_mods_</b>";
    let fault = fault(FaultKind::FileInUse, "`a&b.pak` is in use");
    let pack = PackView { name: name.to_owned(), fault: Some(fault), ..asked("p") };
    let menu = menu(&snapshot(&[pack]), None);
    assert_eq!(
        menu.items[0],
        Item::Line(format!("{name}: the new release removes 812 of 900 files"))
    );
    assert!(text(&menu).contains(r#"OpenFolder("R&D <b>_mods_</b>")"#));
}

/// Icon, headline and what can be chosen for the pack.
fn brief(pack: &PackView) -> String {
    let menu = menu(&snapshot(std::slice::from_ref(pack)), None);
    let Item::Line(headline) = &menu.items[0] else { panic!("{menu:?}") };
    let of_all = menu.items.iter().rposition(|item| label(item) == Some("Pause")).unwrap();
    let offers = menu.items[..=of_all].iter().filter(|item| is_enabled(item));
    let offers: Vec<&str> = offers.filter_map(label).collect();
    let headline = headline.strip_prefix("p: ").unwrap();
    format!("{:?}: {headline} | {}", menu.icon, offers.join(", "))
}

fn label(item: &Item) -> Option<&str> {
    match item {
        Item::Entry { label, .. } | Item::Check { label, .. } => Some(label),
        Item::Line(_) | Item::Submenu { .. } | Item::Separator => None,
    }
}

fn is_enabled(item: &Item) -> bool {
    match item {
        Item::Entry { enabled, .. } | Item::Check { enabled, .. } => *enabled,
        Item::Line(_) | Item::Submenu { .. } | Item::Separator => false,
    }
}

/// A line for each item; in brackets what cannot be chosen.
fn text(menu: &Menu) -> String {
    let mut out = format!("\n{:?}: {}\n", menu.icon, menu.tooltip.replace('\n', " / "));
    write_items(&mut out, &menu.items, "  ");
    out
}

fn write_items(out: &mut String, items: &[Item], indent: &str) {
    for item in items {
        let line = match item {
            Item::Line(text) => text.clone(),
            Item::Separator => "--".to_owned(),
            Item::Submenu { label, .. } => format!("{label} >"),
            Item::Entry { label, action, enabled: true } => format!("{label} = {action:?}"),
            Item::Entry { label, action, enabled: false } => format!("({label}) = {action:?}"),
            Item::Check { label, action, checked, enabled } => {
                let label = format!("[{}] {label}", if *checked { "x" } else { " " });
                let label = if *enabled { label } else { format!("({label})") };
                format!("{label} = {action:?}")
            }
        };
        let _ = writeln!(out, "{indent}{line}");
        if let Item::Submenu { items, .. } = item {
            write_items(out, items, &format!("{indent}  "));
        }
    }
}
