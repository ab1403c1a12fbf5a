//! The tray's pictures, for each platform's size.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use super::menu::Icon;
use crate::disk::fs::{FsError, Root};

/// An icon as the platform wants it: rows of red, green, blue, alpha.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub rgba: Vec<u8>,
    pub width: u32,
    pub height: u32,
}

macro_rules! picture {
    ($name:literal) => {
        if cfg!(target_os = "macos") {
            include_bytes!(concat!("../../icons/tray/", $name, "-template.png")).as_slice()
        } else if cfg!(windows) {
            include_bytes!(concat!("../../icons/tray/", $name, "-32.png")).as_slice()
        } else {
            include_bytes!(concat!("../../icons/tray/", $name, "-44.png")).as_slice()
        }
    };
}

impl Icon {
    /// Its picture.
    pub fn picture(self) -> Result<Picture, png::DecodingError> {
        decode(match self {
            Self::Idle => picture!("idle"),
            Self::Paused => picture!("paused"),
            Self::UpdateAvailable => picture!("update"),
            Self::NeedsAttention => picture!("attention"),
            Self::Working(0) => picture!("working-0"),
            Self::Working(1) => picture!("working-1"),
            Self::Working(2) => picture!("working-2"),
            Self::Working(3) => picture!("working-3"),
            Self::Working(4) => picture!("working-4"),
            Self::Working(5) => picture!("working-5"),
            Self::Working(6) => picture!("working-6"),
            Self::Working(7) => picture!("working-7"),
            Self::Working(_) => picture!("working-8"),
        })
    }
}

const APP: &[u8] = include_bytes!("../../icons/app-128.png");

/// The program's own picture, as notices show it.
pub fn app() -> Result<Picture, png::DecodingError> {
    decode(APP)
}

/// The same as a file in this folder.
pub fn app_file(folder: &Path) -> Result<PathBuf, FsError> {
    const NAME: &str = "icon.png";
    Root::create(folder)?.write_atomic(NAME, APP)?;
    Ok(folder.join(NAME))
}

fn decode(bytes: &[u8]) -> Result<Picture, png::DecodingError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut rgba = vec![0; reader.output_buffer_size().unwrap_or_default()];
    let info = reader.next_frame(&mut rgba)?;
    rgba.truncate(info.buffer_size());
    Ok(Picture { rgba, width: info.width, height: info.height })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_picture_of_its_own() {
        let mut icons = vec![Icon::Idle, Icon::Paused, Icon::UpdateAvailable, Icon::NeedsAttention];
        icons.extend((0..=super::super::menu::STEPS).map(Icon::Working));
        let pictures: Vec<Picture> = icons.iter().map(|icon| icon.picture().unwrap()).collect();
        for (n, picture) in pictures.iter().enumerate() {
            let pixels = (picture.width * picture.height) as usize;
            assert_eq!(picture.rgba.len(), pixels * 4);
            assert!(!pictures[..n].contains(picture), "{:?} looks like another", icons[n]);
        }
    }
}
