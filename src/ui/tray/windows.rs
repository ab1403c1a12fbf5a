//! The taskbar's corner.

use tao::event_loop::EventLoop;
use tray_icon::{Icon, TrayIcon, TrayIconBuilder};

/// A program without a window is in the background already.
pub(super) fn stay_in_the_background<T>(_: &mut EventLoop<T>) {}

pub fn dressed(builder: TrayIconBuilder, icon: Icon) -> TrayIconBuilder {
    builder.with_icon(icon)
}

pub fn set_icon(tray: &TrayIcon, icon: Icon) -> tray_icon::Result<()> {
    tray.set_icon(Some(icon))
}
