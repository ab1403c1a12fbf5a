//! Windows and macOS: the icon needs the system's own event loop, on the main thread.

#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

use std::time::{Duration, Instant};

use tao::event::{Event, StartCause};
use tao::event_loop::{ControlFlow, EventLoopBuilder, EventLoopProxy};
use tao::platform::run_return::EventLoopExtRunReturn;

use super::{Actions, Chosen, Drawn, Menu, TrayError, Wish, listen};

pub(super) use system::{dressed, set_icon};

/// The tray, for other threads.
#[derive(Debug, Clone)]
pub struct Tray(EventLoopProxy<Wish>);

impl Tray {
    pub fn show(&self, menu: Menu) {
        let _ = self.0.send_event(Wish::Show(menu));
    }

    /// Opens the menu, where the system lets us.
    pub fn pop_up(&self) {
        let _ = self.0.send_event(Wish::PopUp);
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
    let mut corner = Corner { drawn: None, menu: first, actions: Actions::default(), retry: None };
    listen(&corner.actions, on);
    let (mut begin, mut end) = (Some(begin), Some(end));
    event_loop.run_return(|event, _, flow| {
        *flow = match event {
            // The earliest moment at which macOS takes an icon.
            Event::NewEvents(StartCause::Init) => {
                let (begin, error) = (begin.take(), corner.draw().err());
                let goes_on = begin.is_none_or(|begin| begin(Tray(proxy.clone()), error));
                if goes_on { corner.wait() } else { ControlFlow::Exit }
            }
            Event::NewEvents(StartCause::ResumeTimeReached { .. }) => {
                if let Err(error) = corner.draw() {
                    tracing::debug!("{error}");
                }
                corner.wait()
            }
            Event::UserEvent(Wish::Show(menu)) => {
                if let Err(error) = corner.show(menu) {
                    tracing::warn!("{error}");
                }
                corner.wait()
            }
            Event::UserEvent(Wish::PopUp) => {
                if let Some(drawn) = &corner.drawn {
                    drawn.icon.show_menu();
                }
                corner.wait()
            }
            Event::UserEvent(Wish::Quit) => {
                corner.drawn = None;
                ControlFlow::Exit
            }
            Event::LoopDestroyed => {
                if let Some(end) = end.take() {
                    end();
                }
                ControlFlow::Exit
            }
            _ => corner.wait(),
        };
    });
}

/// How long until an icon is tried again that could not be shown: at login the taskbar may come after us.
const RETRY: Duration = Duration::from_secs(5);

/// Where the icon is, or will be.
struct Corner {
    drawn: Option<Drawn>,
    menu: Menu,
    actions: Actions,
    retry: Option<Instant>,
}

impl Corner {
    fn draw(&mut self) -> Result<(), TrayError> {
        self.retry = Some(Instant::now() + RETRY);
        self.drawn = Some(Drawn::new(self.menu.clone(), Actions::clone(&self.actions))?);
        self.retry = None;
        Ok(())
    }

    fn show(&mut self, menu: Menu) -> Result<(), TrayError> {
        self.menu = menu.clone();
        self.drawn.as_mut().map_or(Ok(()), |drawn| drawn.show(menu))
    }

    fn wait(&self) -> ControlFlow {
        self.retry.map_or(ControlFlow::Wait, ControlFlow::WaitUntil)
    }
}
