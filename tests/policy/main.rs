//! Policy files: how they are read, what is wrong with bad ones, what real ones decide.

mod errors;
mod form;
