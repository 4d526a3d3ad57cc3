// Command strict reads manifests of Kubernetes from standard input and decodes each into the type
// of its kind, as the API server does when it validates fields strictly: fields that do not exist,
// that are there twice, or that are of another type are faults. Kinds that it has no types for are
// named on standard error, and only their syntax is checked.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	strict "sigs.k8s.io/yaml"
)

// types are the kinds of the chart and of the examples.
var types = map[string]func() any{
	"apps/v1 Deployment":                      func() any { return new(apps.Deployment) },
	"autoscaling/v2 HorizontalPodAutoscaler":  func() any { return new(autoscaling.HorizontalPodAutoscaler) },
	"batch/v1 Job":                            func() any { return new(batch.Job) },
	"gateway.networking.k8s.io/v1 HTTPRoute":  func() any { return new(gateway.HTTPRoute) },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
	"monitoring.coreos.com/v1 ServiceMonitor": func() any { return new(monitoring.ServiceMonitor) },
	"networking.k8s.io/v1 Ingress":            func() any { return new(networking.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":           func() any { return new(policy.PodDisruptionBudget) },
	"v1 ConfigMap":                            func() any { return new(core.ConfigMap) },
	"v1 Secret":                               func() any { return new(core.Secret) },
	"v1 Service":                              func() any { return new(core.Service) },
}

// object is what all kinds have.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
}

func main() {
	if err := run(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run returns the faults of all manifests.
func run(in io.Reader) error {
	documents := yaml.NewYAMLReader(bufio.NewReader(in))
	var faults []error
	checked := 0
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var o object
		if err := strict.Unmarshal(document, &o); err != nil {
			faults = append(faults, err)
			continue
		}
		if o == (object{}) { // nothing but comments
			continue
		}
		checked++
		if err := check(document, o); err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", o.Kind, o.Metadata.Name, err))
		}
	}
	if checked == 0 {
		faults = append(faults, errors.New("no manifests"))
	}
	return errors.Join(faults...)
}

func check(document []byte, o object) error {
	if o.Metadata.Name == "" {
		return errors.New("it has no name")
	}
	into, ok := types[o.APIVersion+" "+o.Kind]
	if !ok {
		fmt.Fprintf(os.Stderr, "no types for %s %s\n", o.APIVersion, o.Kind)
		return strict.UnmarshalStrict(document, &map[string]any{})
	}
	return strict.UnmarshalStrict(document, into())
}
