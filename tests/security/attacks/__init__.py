"""All attacks. Importing this package registers them: the ten high ones first, then the other classes."""

from tests.security.attacks import (  # noqa: F401  (importing registers them)
    archives,
    gguf_files,
    injection,
    isolation,
    paths,
    s1_models,
    s2_descriptors,
    s3_starving,
    s4_runs,
    s5_chat,
    s6_decoding,
    s7_templates,
    s8_streams,
    s9_login,
    s10_paths,
    s11_malformed,
    s12_addresses,
    s_projects,
    secrets_and_headers,
    trust,
)
