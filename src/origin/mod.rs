//! Bytes from outside → checked model.

mod bencode;
pub mod metainfo;
