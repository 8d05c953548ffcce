//! The kernel as Jupyter's own clients meet it, over the protocol; each test is a file of tests in `tests/wire/`.

use homework_tests::wire;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

/// Themes that look at the clock or at all processes run alone.
static ALONE: RwLock<()> = RwLock::new(());
/// Of the others, two run at a time.
static PLACES: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

fn run(theme: &str) {
    let _turn = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let place = NEXT.fetch_add(1, Ordering::Relaxed) % PLACES.len();
    let _place = PLACES[place].lock().unwrap_or_else(PoisonError::into_inner);
    wire(theme);
}

fn run_alone(theme: &str) {
    let _turn = ALONE.write().unwrap_or_else(PoisonError::into_inner);
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
    run_alone("stopping");
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
    run_alone("processes");
}

#[test]
fn nothing_is_lost_beside_other_work() {
    run_alone("soak");
}
