#include "dataplane/worker/af_xdp_rights.hh"

#include <array>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice {

std::uint64_t capabilities_in_force() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) return ~std::uint64_t{0};
    return std::uint64_t{data[1].effective} << 32 | data[0].effective;
}

std::string missing_for_af_xdp(std::uint64_t effective) {
    const auto has = [&](unsigned capability) { return (effective >> capability & 1) != 0; };
    std::string missing;
    const auto need = [&](bool there, const char* name) {
        if (!there) missing += (missing.empty() ? "" : ", ") + std::string(name);
    };
    need(has(CAP_NET_ADMIN), "CAP_NET_ADMIN");
    need(has(CAP_NET_RAW), "CAP_NET_RAW");
    need(has(CAP_BPF) || has(CAP_SYS_ADMIN), "CAP_BPF");
    return missing;
}

std::uint64_t locked_memory_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return ~std::uint64_t{0};
    return limit.rlim_cur;
}

bool may_lock(std::uint64_t effective, std::uint64_t limit_bytes, std::uint64_t bytes) {
    return (effective >> CAP_IPC_LOCK & 1) != 0 || bytes <= limit_bytes;
}

}  // namespace sluice
