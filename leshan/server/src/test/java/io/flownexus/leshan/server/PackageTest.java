package io.flownexus.leshan.server;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/** How packages may depend on one another. */
class PackageTest {

  private static final String ROOT = "io.flownexus.leshan.server";

  private final JavaClasses classes =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages(ROOT);

  @Test
  void packages_are_free_of_cycles() {
    slices().matching(ROOT + ".(*)..").should().beFreeOfCycles().check(classes);
  }

  @Test
  void nothing_below_uses_the_application() {
    noClasses()
        .that()
        .resideInAPackage(ROOT + ".*..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage(ROOT)
        .check(classes);
  }

  @Test
  void base_uses_no_package_of_the_server() {
    noClasses()
        .that()
        .resideInAPackage(ROOT + ".base..")
        .should()
        .dependOnClassesThat(
            describe(
                "are the server's, outside base",
                each ->
                    each.getPackageName().startsWith(ROOT)
                        && !each.getPackageName().startsWith(ROOT + ".base")))
        .check(classes);
  }
}
