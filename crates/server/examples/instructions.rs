//! Performs one hot function a given number of times, for whoever counts its instructions: `instructions NAME TIMES`.
//! Without arguments it tells the names.

use std::io::{self, Write};
use tidings_server::bench::{OPERATIONS, operation};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(times)) = (arguments.next(), arguments.next()) else {
        return writeln!(io::stdout(), "{}", OPERATIONS.join("\n"));
    };
    let times: u64 = times.parse().map_err(io::Error::other)?;
    let mut operation = operation(&name);
    (0..times).for_each(|_| operation());
    Ok(())
}
