//! The rows of encryption and logins in the table of properties.

use super::known::{Property, Scope, ignores, refuses, takes};
use Scope::Channel;

const IN_THE_CLEAR: &str = "Flume 1.6 has neither TLS nor logins; write it as Flume 1.7 has it: \
    kafka.producer.security.protocol, and kafka.producer.ssl or kafka.producer.sasl before the rest";

pub(super) const ROWS: &[Property] = &[
    takes(Channel, "kafka.security.protocol", "PLAINTEXT", "`PLAINTEXT` only"),
    takes(
        Channel,
        "kafka.producer.security.protocol",
        "PLAINTEXT",
        "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`",
    ),
    refuses(Channel, "kafka.security.*", IN_THE_CLEAR),
    refuses(Channel, "kafka.ssl.*", IN_THE_CLEAR),
    refuses(Channel, "kafka.sasl.*", IN_THE_CLEAR),
    refuses(Channel, "kafka.producer.security.*", "no other part of it is known here; remove it"),
    takes(
        Channel,
        "kafka.producer.ssl.truststore.location",
        "–",
        "the authorities to trust: JKS, PKCS12 or PEM, as its content says; without it, those of \
         the system",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.truststore.password",
        "–",
        "its password; without it the checksum of a JKS store is left alone",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.truststore.certificates",
        "–",
        "the same as PEM in the value",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.keystore.location",
        "–",
        "our certificate and its key: JKS, PKCS12 or PEM, as its content says",
    ),
    takes(Channel, "kafka.producer.ssl.keystore.password", "–", "its password"),
    takes(Channel, "kafka.producer.ssl.keystore.key", "–", "the key as PEM in the value"),
    takes(
        Channel,
        "kafka.producer.ssl.keystore.certificate.chain",
        "–",
        "the certificate, and those above it, as PEM in the value",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.key.password",
        "–",
        "the key's password, where it is not that of the store",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.endpoint.identification.algorithm",
        "https",
        "`https`: a broker's certificate has to be for its host",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.disableTLSHostnameVerification",
        "false",
        "`true`: the certificate may be for any host",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.enabled.protocols",
        "TLSv1.2,TLSv1.3",
        "`TLSv1.2`, `TLSv1.3`, or both",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.protocol",
        "TLSv1.3",
        "`TLS`, `TLSv1.2` or `TLSv1.3`: says nothing more",
    ),
    takes(
        Channel,
        "kafka.producer.ssl.cipher.suites",
        "–",
        "Java's names of the ciphers that may be used: those with ECDHE and AES-GCM or ChaCha20",
    ),
    refuses(
        Channel,
        "kafka.producer.ssl.engine.factory.class",
        "third-party Java code, which cannot run here; remove it, and name the stores",
    ),
    ignores(
        Channel,
        "kafka.producer.ssl.truststore.type",
        "the content of a store says what it is",
    ),
    ignores(Channel, "kafka.producer.ssl.keystore.type", "the content of a store says what it is"),
    ignores(Channel, "kafka.producer.ssl.*", "TLS is rustls here, which has no such choice"),
    takes(
        Channel,
        "kafka.producer.sasl.mechanism",
        "GSSAPI",
        "`GSSAPI`, `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `AWS_MSK_IAM`",
    ),
    takes(
        Channel,
        "kafka.producer.sasl.jaas.config",
        "–",
        "who logs in: `Module required key=\"value\" ... ;`; else section `KafkaClient` of the file of \
         `-Djava.security.auth.login.config`",
    ),
    takes(
        Channel,
        "kafka.producer.sasl.kerberos.service.name",
        "–",
        "the brokers' name for `GSSAPI`, mostly `kafka`; else `serviceName` of the login",
    ),
    takes(
        Channel,
        "kafka.producer.sasl.oauthbearer.token.endpoint.url",
        "–",
        "`OAUTHBEARER`: `file:///PATH` of a token, or `https://HOST/PATH` of the server that \
         gives one for \
         `clientId` and `clientSecret`",
    ),
    takes(Channel, "kafka.producer.sasl.oauthbearer.scope", "–", "else `scope` of the login"),
    takes(
        Channel,
        "kafka.producer.sasl.login.callback.handler.class",
        "–",
        "those of `OAUTHBEARER` and `AWS_MSK_IAM`; any other is refused",
    ),
    takes(
        Channel,
        "kafka.producer.sasl.client.callback.handler.class",
        "–",
        "that of `AWS_MSK_IAM`; any other is refused",
    ),
    ignores(Channel, "kafka.producer.sasl.*", "the agent logs in, and renews the login, by itself"),
];
