package ledger_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// The owner of a number speaks for all who were texted there, and a text that comes twice counts once.
func TestAStopOptsOutAllWhoWereTextedAtTheNumber(t *testing.T) {
	t.Parallel()
	w := setup(t)
	l := w.ledger(only(consumers.SMS, newProvider(nil)))
	mail := planFor(consumers.Delivery{Channel: consumers.Email, Priority: consumers.Normal, Template: "absence"},
		"s3", "e3", 2, "by mail")
	other := plan("s1", "e4", 3, "elsewhere")
	other.Deliveries[0].Address = "+22501020305"
	w.commit(l, plan("s1", "e1", 0, "mother", "father"), plan("s2", "e2", 1, "mother"), mail, other)
	run(t, l)

	stop := consumers.Wish{Provider: "twilio", MessageID: "SM1", Number: "+22501020304", Stop: true, At: time.Now()}
	start := stop
	start.MessageID, start.Stop = "SM2", false
	unknown := stop
	unknown.Number = "+22599999999"
	for _, wish := range []consumers.Wish{stop, stop, unknown, start} {
		require.NoError(t, l.ReceiveWish(t.Context(), wish))
	}
	require.Eventually(t, func() bool { return w.logged(guardian.TypeOptedIn) == 3 }, 30*time.Second, 10*time.Millisecond)

	ids := map[string][]string{}
	for p := range int32(4) {
		batch, err := w.log.Fetch(t.Context(), p, 0, 64<<20, 0)
		require.NoError(t, err)
		for _, rec := range batch.Records {
			e, err := cloudevents.Decode(rec)
			require.NoError(t, err)
			if out, is := e.Data.(*guardian.OptedOut); is {
				require.Equal(t, guardian.OptedOut{GuardianID: out.GuardianID, Channel: "sms", Because: "stop"}, *out)
				who := e.School + " " + out.GuardianID
				if !slices.Contains(ids[who], e.ID) {
					ids[who] = append(ids[who], e.ID)
				}
			}
		}
	}
	require.Len(t, ids, 3)
	for _, who := range []string{"s1 mother", "s1 father", "s2 mother"} {
		require.Len(t, ids[who], 1, "of two texts that are one")
	}
}
