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

TEST_CASE("the memory of AF_XDP must fit the limit of locked memory, or CAP_IPC_LOCK is there") {
    constexpr std::uint64_t all = ~std::uint64_t{0};
    CHECK(may_lock(all, 0, 64 << 20));
    CHECK(may_lock(0, all, 64 << 20));
    CHECK(may_lock(0, 64 << 20, 64 << 20));
    CHECK_FALSE(may_lock(all & ~bit(CAP_IPC_LOCK), 8 << 20, 64 << 20));
    CHECK(locked_memory_limit() != 0);
}
