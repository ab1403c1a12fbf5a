//! [`Toasts`]: puts notices on the screen and says what the user chose.
//!
//! It promises to keep nobody waiting and to lose no click. It does not promise that a notice is seen:
//! where nothing can show it, the log says so once, and the menu has all that it offered.

#[cfg_attr(windows, path = "toast/windows.rs")]
#[cfg_attr(target_os = "macos", path = "toast/macos.rs")]
#[cfg_attr(not(any(windows, target_os = "macos")), path = "toast/xdg.rs")]
mod screen;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::dispatcher;

use crate::ui::icon::Picture;
use crate::ui::menu::Action;
use crate::ui::notices::{Change, Notice};

/// More notices than a screen can hold; the oldest make room.
const MOST: usize = 64;
/// How long it may take to take everything off the screen at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a screen needs to know beforehand.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The file with the program's icon, an absolute path: what Windows shows, and Linux where there
    /// is no `picture`.
    pub icon: Option<PathBuf>,
    /// The program's icon as Linux shows it.
    pub picture: Option<Picture>,
    /// The address of the bus to use on Linux instead of the session's.
    pub bus: Option<String>,
    /// How long who shows notices on Linux may take to answer, instead of half a minute.
    pub patience: Option<Duration>,
}

/// The notices on the screen. They are taken off when this is dropped: nobody would hear a click.
#[derive(Debug)]
pub struct Toasts {
    inbox: Arc<Inbox>,
    ended: mpsc::Receiver<()>,
}

/// What is told what the user chose. It is called from threads of others and must not wait.
type OnAction = Arc<dyn Fn(Action) + Send + Sync>;

impl Toasts {
    /// Never fails: what stands in the way is logged, and the notices are not seen.
    pub fn start(setup: Setup, on_action: impl Fn(Action) + Send + Sync + 'static) -> Self {
        let inbox = Arc::new(Inbox::default());
        let (end, ended) = mpsc::channel();
        let theirs = Arc::clone(&inbox);
        let log = dispatcher::get_default(Clone::clone);
        let work = move || {
            let _end: mpsc::Sender<()> = end;
            dispatcher::with_default(&log, || run(&setup, &theirs, &(Arc::new(on_action) as _)));
        };
        if let Err(error) = thread::Builder::new().name("notices".to_owned()).spawn(work) {
            tracing::warn!("notices cannot be shown: {error}");
        }
        Self { inbox, ended }
    }

    /// Puts it on the screen, or takes it off, as soon as the screen has time. When that is too slow
    /// for what happens, the last change of each notice is shown.
    pub fn show(&self, change: Change) {
        self.inbox.put(change);
    }

    /// Takes everything off the screen and waits for that, a second at most.
    pub fn end(self) {
        self.inbox.close();
        let _ = self.ended.recv_timeout(FAREWELL);
    }
}

impl Drop for Toasts {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

fn run(setup: &Setup, inbox: &Inbox, on_action: &OnAction) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(screen::run(setup, inbox, on_action)),
        Err(error) => tracing::warn!("notices cannot be shown: {error}"),
    }
}

/// The changes that the screen has not seen yet, in their order: of each notice the last.
#[derive(Debug, Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<Change>,
    closed: bool,
}

impl Inbox {
    fn put(&self, change: Change) {
        let mut waiting = self.waiting();
        waiting.changes.retain(|former| key(former) != key(&change));
        waiting.changes.push_back(change);
        if waiting.changes.len() > MOST {
            waiting.changes.pop_front();
        }
        self.bell.notify_one();
    }

    /// Has it shown after all, unless there are newer words.
    #[cfg_attr(any(windows, target_os = "macos"), expect(dead_code))]
    fn put_back(&self, notice: Notice) {
        let is_newest = self.waiting().changes.iter().all(|newer| key(newer) != notice.key);
        if is_newest {
            self.put(Change::Show(notice));
        }
    }

    /// The next change, once the screen is free to show it; `None` when there will be no more.
    async fn next(&self, is_free: bool) -> Option<Change> {
        loop {
            {
                let mut waiting = self.waiting();
                if waiting.closed {
                    return None;
                }
                if let Some(change) = is_free.then(|| waiting.changes.pop_front()).flatten() {
                    return Some(change);
                }
            }
            self.bell.notified().await;
        }
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.bell.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(change: &Change) -> &str {
    match change {
        Change::Show(notice) => &notice.key,
        Change::Close(key) => key,
    }
}

/// Says once that notices cannot be shown, until one was.
#[derive(Debug, Default)]
struct Trouble {
    was_said: bool,
}

impl Trouble {
    fn say(&mut self, error: &dyn fmt::Display) {
        if std::mem::replace(&mut self.was_said, true) {
            tracing::debug!("notices cannot be shown: {error}");
        } else {
            tracing::warn!("notices cannot be shown: {error}");
        }
    }

    fn is_over(&mut self) {
        self.was_said = false;
    }
}
