//! The time that each hot function takes. Numbers of two machines, or of one on two days, do not compare; `scripts/instructions` counts.

use tidings_server::bench::{OPERATIONS, operation};

fn main() {
    divan::main();
}

#[divan::bench(args = OPERATIONS)]
fn hot(bencher: divan::Bencher<'_, '_>, name: &str) {
    bencher.bench_local(operation(name));
}
