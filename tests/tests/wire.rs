//! The kernel as Jupyter's own clients meet it, over the protocol; each test is a file of tests in `tests/wire/`.

use homework_tests::wire;
use std::sync::{Mutex, PoisonError};

/// The themes run one after the other, as some look at the clock.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn run(theme: &str) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    wire(theme);
}

#[test]
fn jupyters_own_suite_passes() {
    run("conformance");
}

#[test]
fn failing_cells_say_so_and_stop_the_queue() {
    run("failures");
}

#[test]
fn cells_are_counted() {
    run("counting");
}

#[test]
fn what_cells_print_arrives_as_it_is() {
    run("streams");
}

#[test]
fn outputs_are_shown_in_order_and_in_place() {
    run("displays");
}

#[test]
fn cells_ask_for_input() {
    run("asking");
}

#[test]
fn the_stop_button_stops() {
    run("stopping");
}

#[test]
fn names_are_looked_up() {
    run("lookup");
}

#[test]
fn variables_types_and_crates_live_on() {
    run("variables");
}

#[test]
fn other_front_ends_and_jupyters_are_served() {
    run("front_ends");
}

#[test]
fn no_process_and_no_folder_is_left() {
    run("processes");
}

#[test]
fn nothing_is_lost_beside_other_work() {
    run("soak");
}
