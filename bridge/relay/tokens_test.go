package relay

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/problem"
)

func TestReadDeviceTokens(t *testing.T) {
	const a, b, c = "0123456789abcdef", "fedcba9876543210", "aaaaaaaaaaaaaaaaaaaaaaaa"
	got, err := ReadDeviceTokens(strings.NewReader("# the fleet\n\nvan_7 " + a + "\r\n  van_7\t" + b + "\nvan_8 " + c))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]string{"van_7": {a, b}, "van_8": {c}}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, test := range []struct{ text, want string }{
		{"van_7 " + a + "\nvan_8\n", "line 2 has 1 words"},
		{"van_7 " + a + " # note\n", "line 1 has 4 words"},
		{"van-7 " + a, `line 1: device ID "van-7" is not valid`},
		{"van_7 short", "line 1: the token is shorter than 16 characters, of device \"van_7\""},
		{"van_7 " + a + "(", "line 1: the token has the character '(', of device"},
		{strings.Repeat("#\n", maxTokenFile), "the file has more than"},
	} {
		_, err := ReadDeviceTokens(strings.NewReader(test.text))
		if problem.CodeOf(err) != CodeTokenInvalid || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), a) {
			t.Errorf("error %v, want %q and no token", err, test.want)
		}
	}
}

// Who may watch must not thereby be able to send.
func TestTokensAreApart(t *testing.T) {
	const token = "0123456789abcdef"
	for _, c := range []Config{
		{Token: token, PublishToken: token},
		{Token: token, DeviceTokens: map[string][]string{"van_7": {token}}},
	} {
		if _, err := New(c); problem.CodeOf(err) != CodeTokenShared || strings.Contains(err.Error(), token) {
			t.Errorf("error %v, want one without the token", err)
		}
	}
}
