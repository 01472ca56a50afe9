//! L65: the rule, the file, and a whole client whose servers come and go.

mod book;
mod file;
mod story;
