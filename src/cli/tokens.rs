//! From the deployment file to tokens: the same way for the daemon and for every command.

use std::path::Path;

use crate::config::deployment::{Deployment, KeyBinding, PinLocation, TokenSettings};
use crate::domain::key::KeyId;
use crate::hsm::{KeyReference, PinSource, Pkcs11Settings};

/// How to find a token and log in to it.
pub(super) fn settings(
    deployment: &Deployment,
    name: &str,
    token: &TokenSettings,
) -> Pkcs11Settings {
    settings_in(&deployment.state_dir, name, token)
}

/// The same, where there is no deployment but a directory for the wrong-PIN marker.
pub(super) fn settings_in(state_dir: &Path, name: &str, token: &TokenSettings) -> Pkcs11Settings {
    Pkcs11Settings {
        name: name.to_owned(),
        module: token.module.clone(),
        token_label: token.label.clone(),
        serial: token.serial.clone(),
        pin: match &token.pin {
            PinLocation::File(path) => PinSource::File(path.clone()),
            PinLocation::Credential(name) => PinSource::Credential(name.clone()),
            PinLocation::Prompt => PinSource::Prompt,
        },
        state_dir: state_dir.to_owned(),
        takes_turns: token.sessions == 1,
    }
}

/// Where a key lies on its token.
pub(super) fn reference(id: &KeyId, key: &KeyBinding) -> KeyReference {
    KeyReference {
        id: id.clone(),
        label: key.label.clone(),
        object_id: key.object_id.clone(),
        algorithm: key.algorithm,
        thumbprint: key.thumbprint.clone(),
        waive_decrypt: key.waive_decrypt,
    }
}

/// The keys on a token.
pub(super) fn keys_on(deployment: &Deployment, token: &str) -> Vec<KeyReference> {
    let on_token = deployment.keys.iter().filter(|(_, key)| key.token == token);
    on_token.map(|(id, key)| reference(id, key)).collect()
}
