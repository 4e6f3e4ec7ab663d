//! WebAuthn against a security key in software, the specification's own examples, and noise.

mod assertions;
mod attestations;
mod browsers;
mod enrolments;
mod forms;
mod mutants;
mod noise;
mod scene;
mod vectors;
