//! The hand-worked cases, put to the naive model: it has to be right before it judges anybody else.

#[path = "model/cases.rs"]
mod cases;
#[path = "model/naive/mod.rs"]
mod naive;
#[path = "model/subject_naive.rs"]
mod subject_naive;

use subject_naive::Alone;

#[test]
fn the_naive_model_agrees_with_what_was_worked_out_by_hand() {
    let count = cases::run_all(|| Alone::new(120_000));
    println!("{count} cases");
    assert!(count >= 60, "{count} cases are too few");
}
