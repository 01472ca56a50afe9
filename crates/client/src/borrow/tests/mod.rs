//! What is borrowed: tokens that are good and tokens that are not, the store, and a whole client whose server comes and goes.

mod release;
mod sample;
mod store;
mod story;
mod verify;
