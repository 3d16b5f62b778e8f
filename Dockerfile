# sluice in two stages: one that builds, one with only what a run needs. Every package comes from Debian 12 and from
# one list, tools/packages.
#
# How this file is tested: there is no container engine on the machines that build sluice, so tests/clean_machine
# --image runs the same steps, in this order, in two fresh debootstrap machines: install_packages build, tools/install
# --destdir /out, install_packages run, the copy of /out; then sluiced has to run there. The base image and COPY are all that is
# left untested; keep the steps here and there the same.
#
#   docker build -t sluice .
#   docker run --rm --network host --privileged --ulimit memlock=-1 -v /sys/fs/bpf:/sys/fs/bpf \
#       -v /etc/sluice:/etc/sluice:ro -v /run/sluice:/run/sluice sluice
#
# Hugepages are reserved on the host (vm.nr_hugepages); sluiced takes them anonymously and needs no hugetlbfs.
# --network host, because the ports, their twins and the routes are the host's. --privileged can be narrowed to the
# capabilities in conf/sluiced.service plus the devices in use.
FROM debian:12-slim AS build
SHELL ["/bin/bash", "-ec"]
WORKDIR /root/sluice
COPY tools/lib.sh tools/packages tools/
RUN . tools/lib.sh && install_packages build
COPY . .
RUN tools/install --destdir /out

FROM debian:12-slim
SHELL ["/bin/bash", "-ec"]
WORKDIR /root
COPY tools/lib.sh tools/packages tools/
RUN . tools/lib.sh && install_packages run && rm -rf /var/lib/apt/lists/* tools
COPY --from=build /out /
ENTRYPOINT ["/usr/local/sbin/sluiced"]
CMD ["--config", "/etc/sluice/sluice.yaml"]
