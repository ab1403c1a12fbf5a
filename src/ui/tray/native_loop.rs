//! Windows and macOS: the icon needs the system's own event loop, on the main thread.

#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

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

/// Shows the tray until it is told to quit. `begin` runs first, with the reason when there is no tray.
// Of the many events of a window, a program without one needs two.
#[allow(clippy::wildcard_enum_match_arm)]
pub fn run(
    first: Menu,
    on: impl Fn(Chosen) + Send + Sync + Clone + 'static,
    begin: impl FnOnce(Tray, Option<TrayError>) -> bool,
) {
    let mut event_loop = EventLoopBuilder::<Wish>::with_user_event().build();
    system::stay_in_the_background(&mut event_loop);
    let proxy = event_loop.create_proxy();
    let actions = Actions::default();
    listen(&actions, on);
    let (mut drawn, mut first, mut begin) = (None, Some(first), Some(begin));
    event_loop.run_return(|event, _, flow| {
        *flow = ControlFlow::Wait;
        match event {
            // The earliest moment at which macOS takes an icon.
            Event::NewEvents(StartCause::Init) => {
                let (Some(menu), Some(begin)) = (first.take(), begin.take()) else { return };
                let made = Drawn::new(menu, Actions::clone(&actions));
                let error = made.map(|made| drawn = Some(made)).err();
                if !begin(Tray(proxy.clone()), error) {
                    *flow = ControlFlow::Exit;
                }
            }
            Event::UserEvent(Wish::Show(menu)) => {
                if let Some(Err(error)) = drawn.as_mut().map(|drawn| drawn.show(menu)) {
                    tracing::warn!("{error}");
                }
            }
            Event::UserEvent(Wish::PopUp) => {
                if let Some(drawn) = &drawn {
                    drawn.icon.show_menu();
                }
            }
            Event::UserEvent(Wish::Quit) => {
                drawn = None;
                *flow = ControlFlow::Exit;
            }
            _ => {}
        }
    });
}
