package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
)

type plain struct{}

func (*plain) Subject() string         { return "" }
func (*plain) Rooms() []domain.Room    { return nil }
func (*plain) Validate(*domain.Faults) {}

func (p *plain) SeenBy(a domain.Audience) domain.Event {
	if a == domain.Teaching {
		return p
	}
	return nil
}

func TestTheOfficeSeesAllAndANumberThatIsNoAudienceNothing(t *testing.T) {
	t.Parallel()
	e := &plain{}
	require.Same(t, e, domain.See(e, domain.Administration))
	require.Same(t, e, domain.See(e, domain.Teaching))
	require.Nil(t, domain.See(e, domain.Public))
	require.Nil(t, domain.See(e, domain.Audience(domain.AudienceCount)))
}

func TestParseRoomReadsWhatStringWrites(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"school", "user:a", "role:teacher", "class:7a", "student:s:1",
		"dashboard:fees",
	} {
		r, err := domain.ParseRoom(name)
		require.NoError(t, err)
		require.Equal(t, name, r.String())
	}
	for _, name := range []string{
		"", "school:", "school:x", "user", "user:", "user: a",
		"kitchen:1", "class:\n", "CLASS:7a",
	} {
		_, err := domain.ParseRoom(name)
		require.Error(t, err, name)
	}
}
