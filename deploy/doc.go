// Package deploy holds what installs and watches Schoolbell: the image and compose, the chart and
// examples for Kubernetes, the unit for systemd, balancers, Prometheus and Grafana. Its tests see
// that those files agree with the program and with the tools that read them.
package deploy
