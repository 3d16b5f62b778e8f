#include "dataplane/worker/af_xdp_rights.hh"

#include <linux/capability.h>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

constexpr std::uint64_t bit(unsigned capability) {
    return std::uint64_t{1} << capability;
}

}  // namespace

TEST_CASE("AF_XDP needs three capabilities, and those that are missing are named") {
    constexpr std::uint64_t all = bit(CAP_NET_ADMIN) | bit(CAP_NET_RAW) | bit(CAP_BPF);
    CHECK(missing_for_af_xdp(all).empty());
    CHECK(missing_for_af_xdp(~std::uint64_t{0}).empty());
    CHECK(missing_for_af_xdp(all & ~bit(CAP_BPF)) == "CAP_BPF");
    CHECK(missing_for_af_xdp(all & ~bit(CAP_NET_RAW)) == "CAP_NET_RAW");
    CHECK(missing_for_af_xdp(bit(CAP_NET_ADMIN)) == "CAP_NET_RAW, CAP_BPF");
    CHECK(missing_for_af_xdp(0) == "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF");
}

TEST_CASE("CAP_SYS_ADMIN stands for CAP_BPF, as in the kernel, and for nothing else") {
    CHECK(missing_for_af_xdp(bit(CAP_NET_ADMIN) | bit(CAP_NET_RAW) | bit(CAP_SYS_ADMIN)).empty());
    CHECK(missing_for_af_xdp(bit(CAP_SYS_ADMIN)) == "CAP_NET_ADMIN, CAP_NET_RAW");
}
