# The habits of this project. Each recipe calls a script, so nothing here needs `just` to be installed.

# Lists the recipes.
default:
    @just --list

# Format, lints, unit tests, transcripts, house rules: before every commit.
check:
    scripts/check

# Everything, clients and browser included; installs what it needs.
test:
    scripts/test

# Real clients against the binary.
blackbox:
    scripts/blackbox

# Fuzzes the decoders; arguments name a target and a time.
fuzz *arguments:
    scripts/fuzz {{arguments}}

# Micro-benchmarks.
bench *arguments:
    scripts/bench {{arguments}}

# What the client library costs.
client *arguments:
    scripts/client {{arguments}}

# Instructions of the hot functions; arguments name some of them.
instructions *arguments:
    scripts/instructions {{arguments}}

# Runs the server.
run *arguments:
    scripts/run {{arguments}}

# Tests, then the binary to hand out.
release:
    scripts/release
