"""Private keys: sealed at rest, used only as Signer and Decryptor."""
