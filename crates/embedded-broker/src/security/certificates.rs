//! Certificates for one machine: a CA, a server's and a client's, with their keys.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use uuid::Uuid;

use super::CertificatesError;

/// What the server is called: all of it is this machine.
const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Makes a CA and certificates for a server on this machine and for a client, and writes them to a folder, which is made if it
/// does not exist: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`. Only the owner may read the keys. The CA's
/// own key is not kept, so nobody can make more certificates of this CA. Needs the cargo feature `tls`.
///
/// # Errors
/// If a file exists already or cannot be written, or the cargo feature is off.
pub fn write_certificates(dir: impl AsRef<Path>) -> Result<(), CertificatesError> {
    let dir = dir.as_ref();
    let files = make().map_err(|error| CertificatesError::NotMade {
        reason: error.to_string(),
    })?;
    let unwritable = |path: &Path, source| CertificatesError::Unwritable {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(|source| unwritable(dir, source))?;
    // All or nothing: a certificate beside a key that is not its own would be hard to understand.
    for (name, _) in &files {
        let path = dir.join(name);
        if path.exists() {
            return Err(unwritable(&path, io::ErrorKind::AlreadyExists.into()));
        }
    }
    for (name, text) in files {
        let path = dir.join(name);
        write_new(&path, &text).map_err(|source| unwritable(&path, source))?;
    }
    Ok(())
}

/// Each file's name and text.
fn make() -> Result<[(&'static str, String); 5], rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    // A name of its own: who trusts another CA of the same name takes this one's signatures for forged.
    let ca_name = format!("embedded-broker CA {}", Uuid::new_v4().simple());
    let mut ca = named(&ca_name, &[])?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let ca = Issuer::new(ca, ca_key);

    let leaf = |name, names: &[&str], purpose| {
        let key = KeyPair::generate()?;
        let mut certificate = named(name, names)?;
        certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        certificate.extended_key_usages = vec![purpose];
        certificate.use_authority_key_identifier_extension = true;
        let signed = certificate.signed_by(&key, &ca)?;
        Ok::<_, rcgen::Error>((signed.pem(), key.serialize_pem()))
    };
    let (server, server_key) = leaf(
        "localhost",
        &SERVER_NAMES,
        ExtendedKeyUsagePurpose::ServerAuth,
    )?;
    let (client, client_key) = leaf("client", &[], ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok([
        ("ca.pem", ca_certificate.pem()),
        ("server.pem", server),
        ("server.key", server_key),
        ("client.pem", client),
        ("client.key", client_key),
    ])
}

fn named(name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut certificate = CertificateParams::new(names)?;
    certificate.distinguished_name = rcgen::DistinguishedName::new();
    certificate
        .distinguished_name
        .push(DnType::CommonName, name);
    Ok(certificate)
}

/// A key is for its owner alone from the first moment on.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode(path));
    options.open(path)?.write_all(text.as_bytes())
}

/// Keys are for their owner, certificates for everybody.
#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    match path.extension().is_some_and(|extension| extension == "key") {
        true => 0o600,
        false => 0o644,
    }
}
