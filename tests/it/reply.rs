//! What the user is told about what they chose: always something, and nothing twice.

use modsync::model::command::{Answer, Approval, Command};
use modsync::model::fault::{Fault, FaultKind};
use modsync::model::report::{
    CheckReport, CleanReport, FileLine, PlanReport, RestoreReport, VerifyReport,
};
use modsync::model::snapshot::{NoticeKinds, PackView, Phase, Snapshot};
use modsync::ui::menu::Action;
use modsync::ui::notices::{Change, Notice, between};
use modsync::ui::reply;

use crate::views::{applied, asked, fault, in_phase, offered, pack, release, snapshot, waiting};

#[test]
fn what_is_as_it_was_is_said_in_a_word() {
    let nothing_new = Ok(Answer::Checked(report(None, false)));
    let went_back = Ok(Answer::Checked(report(Some(2), true)));
    let up_to_date = Ok(Answer::UpToDate { download_bytes: 0, held: false });
    let held = PackView { held: true, phase: Phase::Current, ..offered("p") };
    let gone = waiting("p", FaultKind::FolderGone, "the folder is gone");
    for (command, answer, now, title, body) in [
        (Command::Check, &nothing_new, pack("p"), "p is up to date", ""),
        (apply(), &up_to_date, pack("p"), "p is up to date", ""),
        (
            Command::Check,
            &went_back,
            held,
            "p: no newer update",
            "You went back from Pack (02020202).",
        ),
        (Command::Check, &nothing_new, gone, "p: no newer update", "The folder is gone. Do this."),
    ] {
        assert_eq!(told(&command, answer, &now, &now), Some(says(title, body)));
    }
}

#[test]
fn a_check_that_finds_an_update_is_answered_with_it_unless_that_is_news() {
    let found = Ok(Answer::Checked(report(Some(2), false)));
    let told = |before: &PackView, after: &PackView| told(&Command::Check, &found, before, after);
    let update = |body: &str| Notice {
        key: "p/update".to_owned(),
        title: "p: an update is available".to_owned(),
        body: body.to_owned(),
        offers: vec![("Update now".to_owned(), Some(ask(apply()))), ("Later".to_owned(), None)],
        click: Some(ask(apply())),
        stays: true,
    };
    let planned = update("12 new, 3 changed, 1 removed · 412 MB to download");
    let unplanned = PackView { summary: None, ..offered("p") };
    let paused = |pack: PackView| PackView { paused: true, phase: Phase::Paused, ..pack };
    let auto = |pack: PackView| PackView { auto_apply: true, ..pack };
    let full = waiting("p", FaultKind::DiskFull, "the disk is full");
    let full = PackView { offered: Some(release(2)), ..full };

    // Nobody works it out while the pack is paused.
    let found_only = Some(update("Pack (02020202) · 1.5 GB"));
    assert_eq!(told(&paused(pack("p")), &paused(unplanned.clone())), found_only);
    assert_eq!(told(&full, &full), found_only);
    // They knew of it, and ask again.
    assert_eq!(told(&offered("p"), &offered("p")), Some(planned.clone()));
    assert_eq!(told(&paused(offered("p")), &paused(offered("p"))), Some(planned));
    assert_eq!(told(&asked("p"), &asked("p")), Some(decision()));
    // It is told as soon as its size is known, or when it is applied.
    assert_eq!(told(&pack("p"), &offered("p")), None);
    assert_eq!(told(&pack("p"), &unplanned), None);
    assert_eq!(told(&pack("p"), &auto(unplanned)), None);
    assert_eq!(told(&auto(offered("p")), &auto(offered("p"))), None);
    assert_eq!(told(&pack("p"), &asked("p")), None);
}

#[test]
fn who_wants_no_news_is_answered_all_the_same() {
    let found = Ok(Answer::Checked(report(Some(2), false)));
    let kinds = NoticeKinds { update: false, fault: false, ..NoticeKinds::default() };
    let quiet = |pack: PackView| Snapshot { notices: kinds, ..snapshot(&[pack]) };
    let before = quiet(pack("p"));
    let unplanned = PackView { summary: None, ..offered("p") };
    for after in [unplanned, offered("p")] {
        let told = reply::reply("p", &Command::Check, &found, &before, &quiet(after));
        assert_eq!(told.unwrap().title, "p: an update is available");
    }
    let gone = fault(FaultKind::FolderGone, "the folder is gone");
    let after = quiet(waiting("p", FaultKind::FolderGone, "the folder is gone"));
    let told = reply::reply("p", &apply(), &Err(gone), &before, &after);
    assert_eq!(told, Some(says("p: the update did not work", "The folder is gone. Do this.")));
}

#[test]
fn who_wants_no_replies_gets_none() {
    let kinds = NoticeKinds { replies: false, ..NoticeKinds::default() };
    let quiet = Snapshot { notices: kinds, ..snapshot(&[pack("p")]) };
    let gone = fault(FaultKind::FolderGone, "the folder is gone");
    for answer in [Ok(Answer::UpToDate { download_bytes: 0, held: false }), Err(gone)] {
        assert_eq!(reply::reply("p", &apply(), &answer, &quiet, &quiet), None);
    }
}

#[test]
fn every_command_that_fails_says_so() {
    let gone = fault(FaultKind::FolderGone, "the folder is gone");
    for (command, what) in [
        (Command::Check, "the check"),
        (Command::Plan, "the plan"),
        (Command::Sync, "the update"),
        (apply(), "the update"),
        (Command::Verify { repair: false }, "the verification"),
        (Command::Verify { repair: true }, "the repair"),
        (Command::Clean { dry_run: false }, "the removal"),
        (Command::Rollback, "the undoing"),
        (Command::Trash, "putting files back"),
        (Command::Restore { entry: "e".to_owned() }, "putting files back"),
        (Command::Pause, "the pause"),
        (Command::Resume, "the pause"),
    ] {
        let complaint = says(&format!("p: {what} did not work"), "The folder is gone. Do this.");
        // A paused pack does not try again, so nothing else tells it.
        let paused = PackView { paused: true, ..in_phase(Phase::Paused) };
        let answer = Err(gone.clone());
        assert_eq!(told(&command, &answer, &paused, &paused), Some(complaint.clone()));
        // Nor does anything tell what failed as it did before, or something else that failed before.
        for kind in [FaultKind::FolderGone, FaultKind::DiskFull] {
            let failing = waiting("p", kind, "the folder is gone");
            assert_eq!(told(&command, &answer, &failing, &failing), Some(complaint.clone()));
        }
        // A fault that is new is news.
        let failing = waiting("p", FaultKind::FolderGone, "the folder is gone");
        assert_eq!(told(&command, &answer, &pack("p"), &failing), None);
        assert_eq!(between(&snapshot(&[pack("p")]), &snapshot(&[failing])).len(), 1);
    }
}

#[test]
fn a_fault_that_passes_by_itself_is_told_to_whoever_asked() {
    let away = Fault::new(FaultKind::OriginUnreachable, "the origin does not answer", "");
    let after = waiting("p", FaultKind::OriginUnreachable, "the origin does not answer");
    assert_eq!(
        told(&Command::Check, &Err(away), &pack("p"), &after),
        Some(says("p: the check did not work", "The origin does not answer."))
    );
}

#[test]
fn who_stopped_it_knows() {
    let stopped = Err(Fault::cancelled());
    assert_eq!(told(&apply(), &stopped, &offered("p"), &in_phase(Phase::Paused)), None);
}

#[test]
fn a_person_who_must_decide_is_asked_again_when_they_were_asked_before() {
    let question = Err(fault(FaultKind::MassRemoval, "the new release removes 812 of 900 files"));
    assert_eq!(told(&apply(), &question, &offered("p"), &asked("p")), None);
    assert_eq!(told(&apply(), &question, &asked("p"), &asked("p")), Some(decision()));
    assert_eq!(
        told(&apply(), &question, &pack("p"), &pack("p")),
        Some(says(
            "p: the update did not work",
            "The new release removes 812 of 900 files. Do this."
        ))
    );
}

#[test]
fn a_removal_says_what_it_moved_and_offers_to_put_it_back() {
    let clean = |dry_run| Command::Clean { dry_run };
    let cleaned = |dry_run, files, trash: Option<&str>| {
        let trash = trash.map(str::to_owned);
        Ok(Answer::Cleaned(CleanReport { dry_run, moved: lines(files), trash }))
    };
    let told = |dry_run, answer| told(&clean(dry_run), &answer, &pack("p"), &pack("p"));
    let restore = ask(Command::Restore { entry: "e".to_owned() });
    assert_eq!(
        told(false, cleaned(false, 3, Some("e"))),
        Some(Notice {
            offers: vec![("Put back".to_owned(), Some(restore))],
            ..says("p: 3 files moved to the trash", "")
        })
    );
    assert_eq!(told(false, cleaned(false, 0, None)), Some(says("p: nothing to remove", "")));
    assert_eq!(told(true, cleaned(true, 1, None)), Some(says("p: 1 file to remove", "")));
}

#[test]
fn files_that_were_put_back_are_counted_and_those_that_were_not_as_well() {
    let restore = Command::Restore { entry: "e".to_owned() };
    for (restored, in_the_way, title, body) in [
        (3, 0, "p: 3 files put back", ""),
        (1, 1, "p: 1 file put back", "1 file stays in the trash: something stands in its place."),
        (
            0,
            2,
            "p: 0 files put back",
            "2 files stay in the trash: something stands in their place.",
        ),
    ] {
        let report = RestoreReport { restored: lines(restored), in_the_way: lines(in_the_way) };
        let answer = Ok(Answer::Restored(report));
        assert_eq!(told(&restore, &answer, &pack("p"), &pack("p")), Some(says(title, body)));
    }
}

#[test]
fn what_shows_itself_needs_no_answer() {
    let verified = VerifyReport {
        release: release(1),
        files: 900,
        problems: Vec::new(),
        kept: Vec::new(),
        extra: Vec::new(),
        bad_bytes: 0,
        repaired: None,
    };
    for (command, answer) in [
        (Command::Pause, Answer::Done),
        (Command::Resume, Answer::Done),
        (Command::Plan, Answer::Planned(plan())),
        (apply(), Answer::Applied(applied(2))),
        (Command::Sync, Answer::Applied(applied(2))),
        (Command::Verify { repair: false }, Answer::Verified(verified.clone())),
        (Command::Verify { repair: true }, Answer::Verified(verified)),
        (Command::Rollback, Answer::RolledBack(applied(1))),
        (Command::Trash, Answer::Trash { entries: Vec::new() }),
    ] {
        assert_eq!(told(&command, &Ok(answer), &pack("p"), &pack("p")), None, "{command:?}");
    }
}

#[test]
fn news_of_another_pack_answer_nothing() {
    let gone = fault(FaultKind::FolderGone, "the folder is gone");
    let after = [pack("p"), waiting("q", FaultKind::FolderGone, "the folder is gone")];
    let before = snapshot(&[pack("p"), pack("q")]);
    let told = reply::reply("p", &apply(), &Err(gone), &before, &snapshot(&after));
    assert_eq!(told, Some(says("p: the update did not work", "The folder is gone. Do this.")));
}

/// What is told when pack `p` goes from one to the other.
fn told(
    command: &Command,
    answer: &Result<Answer, Fault>,
    before: &PackView,
    after: &PackView,
) -> Option<Notice> {
    let [before, after] = [before, after].map(|pack| snapshot(std::slice::from_ref(pack)));
    reply::reply("p", command, answer, &before, &after)
}

/// An answer that offers nothing.
fn says(title: &str, body: &str) -> Notice {
    Notice {
        key: "p/reply".to_owned(),
        title: title.to_owned(),
        body: body.to_owned(),
        offers: Vec::new(),
        click: Some(Action::OpenFolder("p".to_owned())),
        stays: false,
    }
}

/// As the news ask for it.
fn decision() -> Notice {
    let news = between(&snapshot(&[pack("p")]), &snapshot(&[asked("p")]));
    let [Change::Show(notice)] = &news[..] else { panic!("{news:?}") };
    notice.clone()
}

fn apply() -> Command {
    Command::Apply { approve: Approval::None }
}

fn ask(command: Command) -> Action {
    Action::Ask("p".to_owned(), command)
}

fn report(offered: Option<u8>, held: bool) -> CheckReport {
    CheckReport { installed: Some(release(1)), offered: offered.map(release), held }
}

fn lines(count: usize) -> Vec<FileLine> {
    vec![FileLine { path: "x.txt".to_owned(), length: 1 }; count]
}

fn plan() -> PlanReport {
    PlanReport {
        id: "plan-7".to_owned(),
        release: release(2),
        installed: Some(release(1)),
        added: Vec::new(),
        changed: Vec::new(),
        compared: Vec::new(),
        removed: Vec::new(),
        kept: Vec::new(),
        displaced: Vec::new(),
        extra: Vec::new(),
        unchanged: 0,
        download_bytes: 0,
        disk_bytes: 0,
        needs_approval: None,
    }
}
