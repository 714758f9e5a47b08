//! Encryption and identity: TLS, and SASL with a user's name and password.

use std::fmt;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;

use super::environment;
use crate::Error;

const PROTOCOL: &str = "KAFKA_SECURITY_PROTOCOL";
const AUTHORITY: &str = "SSL_CA_LOCATION";
const CERTIFICATE: &str = "SSL_CERTIFICATE_LOCATION";
const KEY: &str = "SSL_KEY_LOCATION";
const MECHANISM: &str = "SASL_MECHANISM";
const USERNAME: &str = "SASL_USERNAME";
const PASSWORD: &str = "SASL_PASSWORD";

const PROTOCOL_REMEDY: &str = "give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, or unset it";
const FILE_REMEDY: &str = "give the path of a PEM file that can be read";
const MECHANISM_REMEDY: &str = "give PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
const IDENTITY_REMEDY: &str = "SASL needs both SASL_USERNAME and SASL_PASSWORD";
const FEATURE_REMEDY: &str =
    "build with `--features tls`, which needs OpenSSL's headers (Debian: apt install libssl-dev)";

/// Where variables are read from: the name and its remedy in, the value out. A parameter, so that tests need not change
/// the environment of the whole process.
type Environment<'a> = dyn Fn(&str, &'static str) -> Result<Option<String>, Error> + 'a;

/// How a client enters: with neither part it sends everything in the clear and is nobody.
///
/// The client property `security.protocol` follows from the two parts, so it cannot contradict them
/// (<https://kafka.apache.org/documentation/#security_overview>).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// Encrypts the connection and proves who the broker is.
    pub tls: Option<Tls>,
    /// Proves who this client is.
    pub sasl: Option<Sasl>,
}

/// What is needed to trust a broker, and to be trusted by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate authority that signed the broker's certificate, as PEM. Without it: those that the operating
    /// system trusts.
    pub authority: Option<PathBuf>,
    /// For brokers that ask clients for a certificate too (`ssl.client.auth=required`).
    pub certificate: Option<ClientCertificate>,
}

/// A certificate and the key that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// A user's name and password, and how they are shown to the broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// The user's name.
    pub username: String,
    /// The password. It is never printed.
    pub password: String,
}

/// How a password is proven to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself is sent. Only with TLS: anyone on the way can read it otherwise.
    Plain,
    /// A proof is sent from which the password cannot be read (RFC 5802).
    ScramSha256,
    /// The same with a longer hash.
    ScramSha512,
}

impl Security {
    /// Reads `KAFKA_SECURITY_PROTOCOL` and, as it asks for them, `SSL_CA_LOCATION`, `SSL_CERTIFICATE_LOCATION` with
    /// `SSL_KEY_LOCATION`, and `SASL_MECHANISM` with `SASL_USERNAME` and `SASL_PASSWORD`.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for an unknown protocol or mechanism, a file that cannot be read, or half of an identity.
    pub fn from_environment() -> Result<Self, Error> {
        Self::read(&|variable, remedy| environment::read(variable, remedy))
    }

    fn read(environment: &Environment<'_>) -> Result<Self, Error> {
        let Some(protocol) = environment(PROTOCOL, PROTOCOL_REMEDY)? else {
            return Ok(Self::default());
        };
        let (tls, sasl) = match protocol.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                let reason = "it is not a security protocol";
                return Err(environment::invalid(
                    PROTOCOL,
                    &protocol,
                    reason,
                    PROTOCOL_REMEDY,
                ));
            }
        };
        Ok(Self {
            tls: tls.then(|| Tls::read(environment)).transpose()?,
            sasl: sasl.then(|| Sasl::read(environment)).transpose()?,
        })
    }

    /// The name of this combination, as Kafka's property `security.protocol` has it.
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// Puts the properties into `config`.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when librdkafka was built without OpenSSL and this needs it.
    pub(super) fn apply(&self, config: &mut ClientConfig) -> Result<(), Error> {
        config.set("security.protocol", self.protocol());
        if let Some(tls) = &self.tls {
            needs_openssl(PROTOCOL, self.protocol())?;
            tls.apply(config);
        }
        if let Some(sasl) = &self.sasl {
            if sasl.mechanism != SaslMechanism::Plain {
                needs_openssl(MECHANISM, sasl.mechanism.name())?;
            }
            config
                .set("sasl.mechanism", sasl.mechanism.name())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
        Ok(())
    }
}

/// Silence would be worse than refusal: whoever asks for encryption must not get a connection without it.
fn needs_openssl(variable: &'static str, value: &str) -> Result<(), Error> {
    if cfg!(feature = "tls") {
        return Ok(());
    }
    let reason = "this program was built without TLS";
    Err(environment::invalid(
        variable,
        value,
        reason,
        FEATURE_REMEDY,
    ))
}

impl Tls {
    fn read(environment: &Environment<'_>) -> Result<Self, Error> {
        let file = |variable| -> Result<Option<PathBuf>, Error> {
            let Some(value) = environment(variable, FILE_REMEDY)? else {
                return Ok(None);
            };
            // librdkafka reads it when the client is created, and names neither the variable nor the cause.
            match std::fs::File::open(&value) {
                Ok(_) => Ok(Some(PathBuf::from(value))),
                Err(error) => {
                    let reason = format!("the file cannot be read ({error})");
                    Err(environment::invalid(variable, &value, reason, FILE_REMEDY))
                }
            }
        };
        let certificate = match (file(CERTIFICATE)?, file(KEY)?) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(only), None) => return Err(half(CERTIFICATE, &only, "SSL_KEY_LOCATION")),
            (None, Some(only)) => return Err(half(KEY, &only, "SSL_CERTIFICATE_LOCATION")),
        };
        Ok(Self {
            authority: file(AUTHORITY)?,
            certificate,
        })
    }

    fn apply(&self, config: &mut ClientConfig) {
        // Without it a certificate for any other host, signed by the same authority, would pass for the broker's.
        config.set("ssl.endpoint.identification.algorithm", "https");
        if let Some(authority) = &self.authority {
            config.set("ssl.ca.location", authority.to_string_lossy());
        }
        if let Some(ClientCertificate { certificate, key }) = &self.certificate {
            config
                .set("ssl.certificate.location", certificate.to_string_lossy())
                .set("ssl.key.location", key.to_string_lossy());
        }
    }
}

fn half(variable: &'static str, file: &Path, missing: &str) -> Error {
    let reason = format!("{missing} is not set");
    let remedy = "a certificate and its key are of use only together";
    environment::invalid(variable, &file.to_string_lossy(), reason, remedy)
}

impl Sasl {
    fn read(environment: &Environment<'_>) -> Result<Self, Error> {
        let mechanism = match environment(MECHANISM, MECHANISM_REMEDY)?.as_deref() {
            None | Some("PLAIN") => SaslMechanism::Plain,
            Some("SCRAM-SHA-256") => SaslMechanism::ScramSha256,
            Some("SCRAM-SHA-512") => SaslMechanism::ScramSha512,
            Some(other) => {
                let reason = "it is not a mechanism that this library offers";
                return Err(environment::invalid(
                    MECHANISM,
                    other,
                    reason,
                    MECHANISM_REMEDY,
                ));
            }
        };
        let needed = |variable| {
            environment(variable, IDENTITY_REMEDY)?
                .ok_or_else(|| environment::invalid(variable, "", "it is not set", IDENTITY_REMEDY))
        };
        Ok(Self {
            mechanism,
            username: needed(USERNAME)?,
            password: needed(PASSWORD)?,
        })
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl SaslMechanism {
    /// The name that Kafka knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Security, Error> {
        Security::read(&|wanted, _| {
            Ok(variables
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| (*value).to_owned()))
        })
    }

    /// S2-01: every mistake names the variable, what it holds and the remedy.
    #[test]
    fn mistakes_are_answered_with_variable_value_and_remedy() {
        for (variables, parts) in [
            (
                &[(PROTOCOL, "TLS")][..],
                &[PROTOCOL, "\"TLS\"", "SASL_SSL"][..],
            ),
            (
                &[(PROTOCOL, "SSL"), (AUTHORITY, "/no/such/file")],
                &[AUTHORITY, "\"/no/such/file\"", "PEM"],
            ),
            (
                &[(PROTOCOL, "SSL"), (CERTIFICATE, "/dev/null")],
                &[CERTIFICATE, "SSL_KEY_LOCATION is not set"],
            ),
            (
                &[(PROTOCOL, "SASL_SSL"), (MECHANISM, "MD5")],
                &[MECHANISM, "\"MD5\"", "SCRAM-SHA-512"],
            ),
            (
                &[(PROTOCOL, "SASL_SSL"), (USERNAME, "alice")],
                &[PASSWORD, "not set"],
            ),
        ] {
            let message = from(variables).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{message:?} does not say {part:?}");
            }
        }
    }

    /// S2-03: the CA bundle reaches the client; built without TLS, asking for it is an error that says what to do.
    #[test]
    fn tls_is_set_up_or_refused_but_never_left_out() {
        let security = from(&[(PROTOCOL, "SSL"), (AUTHORITY, "/dev/null")]).unwrap();
        let mut config = ClientConfig::new();
        let built_in = cfg!(feature = "tls");
        match security.apply(&mut config) {
            Ok(()) => {
                assert!(built_in, "encryption was promised by a program without it");
                assert_eq!(config.get("security.protocol"), Some("SSL"));
                assert_eq!(config.get("ssl.ca.location"), Some("/dev/null"));
            }
            Err(error) => {
                assert!(!built_in, "{error}");
                assert!(error.to_string().contains("--features tls"), "{error}");
            }
        }
    }

    /// A password must not reach a log by way of `{:?}`.
    #[test]
    fn the_password_is_not_printed() {
        let security = from(&[
            (PROTOCOL, "SASL_PLAINTEXT"),
            (USERNAME, "alice"),
            (PASSWORD, "open sesame"),
        ])
        .unwrap();
        let printed = format!("{security:?}");
        assert!(printed.contains("alice"), "{printed}");
        assert!(!printed.contains("sesame"), "{printed}");
    }
}
