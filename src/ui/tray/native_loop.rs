//! Windows and macOS: the icon needs the system's own event loop, on the main thread.

#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

use std::time::{Duration, Instant};

use tao::event::{Event, StartCause};
use tao::event_loop::{ControlFlow, EventLoopBuilder, EventLoopProxy};
use tao::platform::run_return::EventLoopExtRunReturn;

use super::{Chosen, Corner, Menu, TrayError, Wish};

pub(super) use system::{dressed, set_icon};

/// The system opens the menu upon a click.
pub(super) const CLICK_OPENS_MENU: bool = true;

/// The tray, for other threads.
#[derive(Debug, Clone)]
pub struct Tray(EventLoopProxy<Wish>);

impl Tray {
    pub fn show(&self, menu: Menu) {
        let _ = self.0.send_event(Wish::Show(menu));
    }

    pub fn quit(&self) {
        let _ = self.0.send_event(Wish::Quit);
    }
}

/// Shows the tray until it is told to quit. `begin` runs first, with the reason when there is no icon yet;
/// `end` runs last, also when the user logs out: the system takes the process away as soon as it returns.
// Of the many events of a window, a program without one needs few.
#[allow(clippy::wildcard_enum_match_arm)]
pub fn run(
    first: Menu,
    on: impl Fn(Chosen) + Send + Sync + Clone + 'static,
    begin: impl FnOnce(Tray, Option<TrayError>) -> bool,
    end: impl FnOnce(),
) {
    let mut event_loop = EventLoopBuilder::<Wish>::with_user_event().build();
    system::stay_in_the_background(&mut event_loop);
    let proxy = event_loop.create_proxy();
    let mut corner = Corner::new(first, on);
    let (mut begin, mut end, mut retry) = (Some(begin), Some(end), None);
    let again = |error: Option<&TrayError>| error.map(|_| Instant::now() + RETRY);
    event_loop.run_return(|event, _, flow| {
        let mut goes_on = true;
        match event {
            // The earliest moment at which macOS takes an icon.
            Event::NewEvents(StartCause::Init) => {
                let error = corner.draw().err();
                retry = again(error.as_ref());
                goes_on = begin.take().is_none_or(|begin| begin(Tray(proxy.clone()), error));
            }
            Event::NewEvents(StartCause::ResumeTimeReached { .. }) => {
                retry = again(corner.draw().err().as_ref());
            }
            Event::UserEvent(Wish::Show(menu)) => {
                let error = corner.show(menu).err();
                if let Some(error) = error.as_ref().filter(|_| retry.is_none()) {
                    tracing::warn!("{error}");
                }
                retry = retry.or_else(|| again(error.as_ref()));
            }
            Event::UserEvent(Wish::Quit) => {
                corner.drawn = None;
                goes_on = false;
            }
            Event::LoopDestroyed => {
                if let Some(end) = end.take() {
                    end();
                }
            }
            _ => {}
        }
        *flow = match retry {
            _ if !goes_on => ControlFlow::Exit,
            Some(at) => ControlFlow::WaitUntil(at),
            None => ControlFlow::Wait,
        };
    });
}

/// The system shows nothing besides.
pub(super) fn tooltip(text: &str) -> &str {
    text
}

/// How long until an icon is tried again that could not be shown: at login the taskbar may come after us.
const RETRY: Duration = Duration::from_secs(5);
