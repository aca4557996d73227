/**
 * A certificate that no moment accepts: it was good for the first second of 1970, and its key was thrown away. Where ends
 * know each other by a shared key, this is all that stunnel may believe: without anything to believe it would not start, and
 * without verification a TLS 1.3 client takes any server with any certificate in place of the shared key.
 */
export const NOBODY_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgjCCASigAwIBAgIUccNlDeivy7RBd/vCmV0dsfqumBcwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MB4XDTcwMDEwMTAwMDAwMFoXDTcwMDEwMTAwMDAw
MVowETEPMA0GA1UEAwwGbm9ib2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
oAQO1VeJrtiAIhoW800y1Xtl47dCLMScR/CLbXU7dZ7Sx+SsOUPfqfFqTOu+AJej
/IqExSZY0bLpPnn3hnvtaKNeMFwwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMC
B4AwHQYDVR0lBBYwFAYIKwYBBQUHAwEGCCsGAQUFBwMCMB0GA1UdDgQWBBTAnxBE
rHUP2hcRNchAHcDtHVaJvzAKBggqhkjOPQQDAgNIADBFAiA9t/uOmtVt1Gy4tFq1
6opPYgVfBY1oaXoPh3kGWlk9oQIhAONatct2UZ+VB/RsfjFXxj6ikKEj0I4LUXHd
XQjBm/4l
-----END CERTIFICATE-----
`;
