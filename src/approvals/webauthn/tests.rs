//! WebAuthn against a security key in software, the specification's own examples, and noise.

mod assertions;
mod enrolments;
mod forms;
mod noise;
mod scene;
mod vectors;
