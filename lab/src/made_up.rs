//! Files that are nearly what a reader expects, for tests that look for what breaks it. As tests they run for a moment; under
//! `cargo bolero test` as long as one likes.

use std::time::Duration;

/// How long a target runs as a test.
pub const MOMENT: Duration = Duration::from_secs(1);

/// The time that a reader may take for one of these small files, with patience for whatever else the machine does.
pub const LONGEST: Duration = Duration::from_secs(2);

/// Which of the valid files, and what to do with it: each time what, where, and with which byte.
pub type Case = (u8, Vec<(u8, u32, u8)>);

/// A valid file, changed.
pub fn file(seeds: &[Vec<u8>], words: &[&str], case: &Case) -> Vec<u8> {
    let mut file = seeds[usize::from(case.0) % seeds.len()].clone();
    for &(what, place, byte) in &case.1 {
        let place = place as usize % (file.len() + 1);
        let end = file.len().min(place + usize::from(byte));
        match what % 6 {
            0 => file.get_mut(place).into_iter().for_each(|old| *old = byte),
            1 => file.get_mut(place).into_iter().for_each(|old| *old ^= 1 << (byte % 8)),
            2 => drop(file.drain(place..end)),
            3 => {
                let again = file[place..end].to_vec();
                drop(file.splice(place..place, again));
            }
            4 if byte == 0 => file.truncate(place),
            _ => {
                let word = words[usize::from(byte) % words.len()];
                drop(file.splice(place..place, word.bytes()));
            }
        }
    }
    file
}

/// Reads made-up files. Fails if one takes too long; what else may not be is for `read` to say.
macro_rules! read_made_up {
    ($seeds:expr, $words:expr, $read:expr) => {{
        let (seeds, read) = ($seeds, $read);
        bolero::check!()
            .with_type::<$crate::made_up::Case>()
            .with_iterations(usize::MAX)
            .with_test_time($crate::made_up::MOMENT)
            .for_each(|case| {
                let file = $crate::made_up::file(&seeds, $words, case);
                let started = std::time::Instant::now();
                read(&file);
                assert!(started.elapsed() < $crate::made_up::LONGEST, "{:?}", started.elapsed());
            });
    }};
}

pub(crate) use read_made_up;
