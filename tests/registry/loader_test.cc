// Libraries that are not what they should be: one clear warning each, and the program goes on.
#include "loader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fakes.h"

namespace polyops::testing {
namespace {

std::string broken(const std::string& fault) {
  return std::string(POLYOPS_BROKEN_DIR) + "/libpolyops_broken_" + fault + ".so";
}

// A folder of its own for the running test.
class Folder {
 public:
  Folder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("polyops_") + test->name() + "_" + std::to_string(getpid()));
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name, const std::string& text = "") const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// One warning that names the file and says why; the registry still takes the next family.
void expect_refused(const std::string& path, const std::vector<std::string>& parts) {
  SCOPED_TRACE(path);
  FakeBackend good({fake_kernel("relu", "good")}, "cpu", "good");
  Recorded r;
  const Family& family = r.registry.load(path);
  EXPECT_EQ(family.state, Family::State::kRefused);
  EXPECT_EQ(family.path, path);
  ASSERT_EQ(r.warnings.size(), 1u);
  EXPECT_TRUE(contains(r.warnings[0], "polyops: " + path + " is not used: "));
  EXPECT_TRUE(contains(r.warnings[0], family.reason));
  for (const std::string& part : parts) EXPECT_TRUE(contains(r.warnings[0], part));
  EXPECT_EQ(r.candidates("relu"), Names{});
  for (const KernelInfo& k : r.registry.kernels()) EXPECT_FALSE(k.usable);

  EXPECT_EQ(r.registry.add(&good.table).state, Family::State::kLoaded);
  EXPECT_EQ(r.candidates("relu"), Names{"good"});
  r.registry.ensure_probed("cpu");
  EXPECT_EQ(r.warnings.size(), 1u);
}

std::string bytes(size_t n) { return std::to_string(n) + " bytes"; }

struct Fault {
  const char* name;
  std::vector<std::string> expected;
};

class BrokenLibrary : public ::testing::TestWithParam<Fault> {};

TEST_P(BrokenLibrary, IsRefusedWithOneWarning) {
  expect_refused(broken(GetParam().name), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Loader, BrokenLibrary,
    ::testing::Values(
        Fault{"symbol", {"no symbol polyops_backend_init"}},
        Fault{"undefined", {"polyops_symbol_that_nobody_defines"}},
        Fault{"null", {"polyops_backend_init returned NULL", "ABI version 1"}},
        Fault{"version", {"ABI version 999", "expected 1"}},
        Fault{"short_struct",
              {bytes(sizeof(polyops_backend) - 16),
               "expected " + std::to_string(sizeof(polyops_backend))}},
        Fault{"entry", {"missing entry"}},
        Fault{"unknown_op",
              {"relu__broken", "unknown op 'transmogrify'", "known: gemm, gemm_pack"}},
        Fault{"kernel_size",
              {bytes(sizeof(polyops_kernel) - 8),
               "expected " + std::to_string(sizeof(polyops_kernel))}},
        Fault{"kernel_name", {"a kernel without a name"}},
        Fault{"kernel_launch", {"kernel relu__broken without supports or launch"}},
        Fault{"kernel_twice", {"kernel relu__broken is listed twice"}},
        Fault{"init_throws", {"polyops_backend_init threw: init ran out of luck"}},
        Fault{"init_throws_int", {"polyops_backend_init threw: an exception of unknown type"}},
        Fault{"probe", {"no such chip on the bus"}},
        Fault{"probe_silent", {"probe failed without a reason"}},
        Fault{"probe_throws", {"probe threw: the driver is on fire"}},
        Fault{"probe_throws_int", {"probe threw: an exception of unknown type"}},
        Fault{"chip_null", {"chip returned NULL"}},
        Fault{"chip_throws", {"threw: the chip has no name"}},
        Fault{"features_null", {"features returned NULL"}},
        Fault{"isa_throws", {"threw: no instruction set"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Loader, LoadsTheSameSourceWithoutAFault) {
  Recorded r;
  const Family& family = r.registry.load(broken("none"));
  EXPECT_EQ(family.state, Family::State::kLoaded) << family.reason;
  EXPECT_EQ(family.name, "broken");
  EXPECT_EQ(family.device, "cpu");
  EXPECT_EQ(r.candidates("relu"), Names{"relu__broken"});
  EXPECT_EQ(r.warnings, Names{});
}

TEST(Loader, RefusesWhatIsNoLibrary) {
  const Folder folder;
  expect_refused(folder.path() + "/libpolyops_gone.so", {"No such file"});
  expect_refused(folder.file("libpolyops_text.so", std::string(1000, 'x')), {"invalid ELF header"});
  expect_refused(folder.file("libpolyops_empty.so"), {"file too short"});
  expect_refused(folder.path(), {"folder without a libpolyops_*.so"});
}

TEST(Loader, ARefusedLibraryGoesByItsFileName) {
  Recorded r;
  EXPECT_EQ(r.registry.load("/nowhere/libpolyops_gone.so").name, "libpolyops_gone.so");
  EXPECT_EQ(r.registry.families().size(), 1u);
  EXPECT_EQ(r.registry.gate_state(r.registry.families()[0]), "");
}

TEST(Loader, RefusesAKernelNameThatAnotherFamilyHas) {
  FakeBackend first({fake_kernel("relu", "relu__broken")}, "cpu", "first");
  Recorded r;
  r.registry.add(&first.table);
  EXPECT_EQ(r.registry.load(broken("none")).state, Family::State::kRefused);
  ASSERT_EQ(r.warnings.size(), 1u);
  EXPECT_TRUE(contains(r.warnings[0], "kernel relu__broken exists already, in family first"));
  EXPECT_EQ(r.candidates("relu"), Names{"relu__broken"});
}

TEST(Loader, EveryEntryOfTheTableIsNeeded) {
  static constexpr const char* kIsas[] = {"v1", nullptr};
  const std::vector<std::function<void(polyops_backend*)>> faults = {
      [](polyops_backend* b) { b->name = nullptr; },
      [](polyops_backend* b) { b->device = nullptr; },
      [](polyops_backend* b) { b->probe = nullptr; },
      [](polyops_backend* b) { b->chip = nullptr; },
      [](polyops_backend* b) { b->features = nullptr; },
      [](polyops_backend* b) { b->isas = kIsas; },
      [](polyops_backend* b) { b->kernels = nullptr; },
  };
  for (const auto& fault : faults) {
    FakeBackend backend({fake_kernel("relu", "r")});
    EXPECT_EQ(check_backend(&backend.table), "");
    fault(&backend.table);
    EXPECT_EQ(check_backend(&backend.table), "a backend struct with a missing entry");
  }
  EXPECT_TRUE(contains(check_backend(nullptr), "NULL"));
}

TEST(Loader, EveryEntryOfAKernelIsNeeded) {
  const std::vector<std::function<void(polyops_kernel*)>> faults = {
      [](polyops_kernel* k) { k->name = nullptr; },
      [](polyops_kernel* k) { k->name = ""; },
      [](polyops_kernel* k) { k->op = nullptr; },
      [](polyops_kernel* k) { k->isa = nullptr; },
      [](polyops_kernel* k) { k->supports = nullptr; },
      [](polyops_kernel* k) { k->launch = nullptr; },
  };
  for (const auto& fault : faults) {
    FakeBackend backend({fake_kernel("relu", "r1"), fake_kernel("relu", "r2")});
    fault(&backend.kernels[1]);
    EXPECT_TRUE(contains(check_backend(&backend.table), "without"));
  }
  FakeBackend backend({fake_kernel("relu", "r1")});
  backend.kernels[0].scratch_bytes = nullptr;
  EXPECT_EQ(check_backend(&backend.table), "");
}

TEST(Loader, AStructOfANewerPolyopsIsTaken) {
  FakeBackend backend({fake_kernel("relu", "r")});
  backend.table.struct_size += 8;
  EXPECT_EQ(check_backend(&backend.table), "");
}

TEST(Loader, ABackendWithoutAPathIsWarnedOfByName) {
  FakeBackend backend({fake_kernel("relu", "r")}, "cpu", "inside");
  backend.table.abi_version = 7;
  Recorded r;
  r.registry.add(&backend.table);
  r.registry.add(nullptr);
  ASSERT_EQ(r.warnings.size(), 2u);
  EXPECT_TRUE(
      contains(r.warnings[0], "polyops: inside is not used: built for polyops ABI version 7"));
  EXPECT_TRUE(contains(r.warnings[1], "polyops: a backend without a name is not used: "));
}

TEST(Loader, ALongProbeReasonIsCut) {
  FakeBackend backend({});
  backend.table.probe = [](char* reason, size_t capacity) {
    std::fill(reason, reason + capacity, 'x');  // without an end
    return 0;
  };
  const std::string reason = probe_backend(backend.table);
  EXPECT_GT(reason.size(), 100u);
  EXPECT_EQ(reason.find_first_not_of('x'), std::string::npos);
}

TEST(Loader, ListsTheLibrariesOfAFolderInOrder) {
  const Folder folder;
  Names expected;
  for (const char c : std::string("qhzbxkamcw")) {  // as a file system might hand them out
    expected.push_back(folder.file(std::string("libpolyops_") + c + ".so"));
  }
  std::sort(expected.begin(), expected.end());
  folder.file("libother.so");
  folder.file("libpolyops_a.so.1");
  folder.file("polyops.txt");
  EXPECT_EQ(libraries_in(folder.path()), expected);
  EXPECT_EQ(libraries_in(expected[0]), Names{expected[0]});
  EXPECT_EQ(libraries_in("/nowhere/x.so"), Names{"/nowhere/x.so"});
}

TEST(Loader, AFolderWithoutLibrariesIsHandedOnToBeComplainedOf) {
  const Folder folder;
  EXPECT_EQ(libraries_in(folder.path()), Names{folder.path()});
}

TEST(Loader, TheCpuFamilyLoads) {
  Recorded r;
  const Family& family = r.registry.load(POLYOPS_CPU_LIBRARY);
  ASSERT_EQ(family.state, Family::State::kLoaded) << family.reason;
  EXPECT_EQ(family.name, "cpu");
  EXPECT_EQ(r.warnings, Names{});
  EXPECT_NE(std::string(family.backend->chip()), "");
  Names isas;
  for (const char* const* i = family.backend->isas; *i != nullptr; ++i) isas.emplace_back(*i);
  EXPECT_EQ(isas.back(), "scalar");
  for (const KernelInfo& k : r.registry.kernels()) {
    EXPECT_NE(std::find(isas.begin(), isas.end(), k.kernel->isa), isas.end()) << k.kernel->name;
    EXPECT_TRUE(std::string(k.kernel->name).ends_with(std::string("__") + k.kernel->isa));
  }
}

}  // namespace
}  // namespace polyops::testing
