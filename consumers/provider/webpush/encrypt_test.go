package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
)

// The example in appendix A of RFC 8291.
func TestEncryptionOfTheStandard(t *testing.T) {
	t.Parallel()
	own, err := ecdh.P256().NewPrivateKey(bytesOf(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	require.NoError(t, err)
	got, err := encrypt([]byte("When I grow up, I want to be a watermelon"), Keys{
		P256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
		Auth:   "BTBZMqHH6r4Tts7J_aSIgg==",
	}, own, bytesOf(t, "DGv6ra1nlYgDCS1FRnbzlw"), 0)
	require.NoError(t, err)
	require.Equal(t, "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl"+
		"95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
		base64.RawURLEncoding.EncodeToString(got))

	_, err = encrypt(nil, Keys{P256dh: "AAAA", Auth: "BTBZMqHH6r4Tts7J_aSIgg"}, own,
		make([]byte, 16), 0)
	require.Error(t, err)
}

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := decodeBase64(s)
	require.NoError(t, err)
	return b
}
